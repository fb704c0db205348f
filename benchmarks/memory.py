"""Peak memory of one epoch over MNIST: reading, checking, training and saving, Python and torch included.

Protocol: a fresh process reads MNIST from its IDX files (or files of random bytes of the same shape, where MNIST is not
found), and trains 500 hidden units for one epoch in batches of 100; once by the library, once by ``reverie fit`` with
its run folder. The figure is the process's maximum resident set, as the kernel counts it. This process stays small,
since the kernel lets a child start from its parent's maximum.
"""

from __future__ import annotations

import os
import struct
import subprocess
import sys
import tempfile
from pathlib import Path

from _common import Check, Result, main

LIBRARY = """
from reverie import RBM, data
dataset = data.load("mnist")
RBM(500, epochs=1, binarise=127).fit(dataset.train.x, validation=dataset.validation.x)
print(dataset.description)
"""
COMMAND = "mnist --set hidden=500 --set epochs=1 --set binarise=127"
LIMIT_MB = 1200


def random_mnist(folder: Path) -> None:
    """Random bytes as the four files of MNIST."""
    folder.mkdir()
    for split, n in (("train", 60_000), ("t10k", 10_000)):
        for kind, header, size in (
            ("images-idx3", struct.pack(">4I", 0x803, n, 28, 28), n * 784),
            ("labels-idx1", struct.pack(">2I", 0x801, n), n),
        ):
            body = os.urandom(size) if size > n else bytes(k % 10 for k in range(n))
            (folder / f"{split}-{kind}-ubyte").write_bytes(header + body)


def has_mnist() -> bool:
    """Whether a process of its own finds MNIST."""
    found = "from reverie import data; print(next(d.found for d in data.available() if d.name == 'mnist'))"
    return subprocess.run([sys.executable, "-c", found], stdout=subprocess.PIPE, check=True).stdout.strip() == b"True"


def peak(command: list[str], environment: dict[str, str]) -> float:
    """Megabytes that a command had in memory at most."""
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"`{' '.join(command)}` ended with exit code {process.returncode}")
    return usage.ru_maxrss / (1e6 if sys.platform == "darwin" else 1e6 / 1024)


def measure() -> Result:
    """Both ways of training, and what importing alone takes."""
    with tempfile.TemporaryDirectory() as name:
        environment, found = dict(os.environ), has_mnist()
        if not found:
            random_mnist(Path(name) / "mnist")
            environment["REVERIE_DATA"] = name
        cli = [sys.executable, "-c", "from reverie.cli import main; main()"]
        peaks = {
            "importing torch and scikit-learn alone": peak(
                [sys.executable, "-c", "import torch, sklearn.neural_network"], environment
            ),
            "the library: data.load and RBM.fit": peak([sys.executable, "-c", LIBRARY], environment),
            f"`reverie fit rbm {COMMAND}`": peak(
                [*cli, "fit", "rbm", *COMMAND.split(), "--out", str(Path(name) / "run")], environment
            ),
        }
    source = "MNIST" if found else "random bytes in files of MNIST's shape (MNIST was not found)"
    rows = [[what, round(value), round(value / LIMIT_MB, 2)] for what, value in peaks.items()]
    checks = [Check(f"{what}, MB", round(value), LIMIT_MB) for what, value in peaks.items()][1:]
    return Result(["process", "peak, MB", "share of 1.2 GB"], rows, [f"Data: {source}."], checks, {"megabytes": peaks})


if __name__ == "__main__":
    main(__doc__, measure)
