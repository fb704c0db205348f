"""``reverie doctor``: is everything here that reverie needs, and does it work?"""

from __future__ import annotations

import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from importlib import import_module, metadata
from pathlib import Path
from typing import Literal

from reverie import __version__
from reverie.cli import options
from reverie.cli.output import Output
from reverie.errors import GateFailedError

NEEDED = {  # what is installed by that name, and imported by this
    "torch": "torch",
    "numpy": "numpy",
    "scikit-learn": "sklearn",
    "safetensors": "safetensors",
    "pyarrow": "pyarrow",
    "pillow": "PIL",
    "pydantic": "pydantic",
    "typer": "typer",
    "rich": "rich",
    "jinja2": "jinja2",
}
GB = 1e9
LEAST_MEMORY, LEAST_DISK = 2 * GB, 1 * GB
_COLOURS = {"ok": "green", "warning": "yellow", "failed": "red"}


@dataclass(frozen=True)
class Check:
    """One line: what was looked at, how it is, and what to do about it."""

    name: str
    status: Literal["ok", "warning", "failed"]
    detail: str
    advice: str = ""


def doctor(as_json: options.Json = False) -> None:
    """Check that everything reverie needs is here and works, and say what to do where it is not.

    Exits with 7 if something that is needed fails.
    """
    output = Output(as_json)
    checks = []
    for check in examine():
        checks.append(check)
        output.event("check", **asdict(check))
        advice = f"; {check.advice}" if check.advice else ""
        output.line(f"{check.status:<8} {check.name}: {check.detail}{advice}", style=_COLOURS[check.status])
    failed = [check.name for check in checks if check.status == "failed"]
    if failed:
        raise GateFailedError(f"{len(failed)} of {len(checks)} checks failed: {', '.join(failed)}")
    output.result(ok=True, warnings=sum(check.status == "warning" for check in checks), checks=len(checks))


def examine() -> Iterator[Check]:
    """All checks, one after the other; one that breaks is one that failed."""
    parts: tuple[Callable[[], Iterator[Check]], ...] = (
        _versions, _processor, _graphics, _memory, _disk, _data, _self_check,
    )  # fmt: skip
    for part in parts:
        try:
            yield from part()
        except Exception as error:  # whatever is broken is what is to be told
            name = part.__name__.strip("_").replace("_", "-")
            yield Check(name, "failed", f"{type(error).__name__}: {error}", "reinstall reverie, or report it")


def _versions() -> Iterator[Check]:
    supported = (3, 11) <= sys.version_info[:2] <= (3, 13)
    advice = "" if supported else "reverie is tested with Python 3.11 to 3.13"
    yield Check(
        "python", "ok" if supported else "warning", f"{platform.python_version()} on {platform.platform()}", advice
    )
    yield Check("reverie", "ok", __version__)
    for package, module in NEEDED.items():
        try:
            import_module(module)
            yield Check(package, "ok", metadata.version(package))
        except Exception as error:  # a broken library fails in any way it likes
            again = f"`pip install --force-reinstall {package}`"
            yield Check(package, "failed", f"cannot be imported ({type(error).__name__}: {error})", again)


def _processor() -> Iterator[Check]:
    import torch

    cores, threads = usable_cores(), torch.get_num_threads()
    advice = f"set OMP_NUM_THREADS={cores}: more threads than cores slow each other down" if threads > cores else ""
    yield Check("threads", "warning" if advice else "ok", f"{threads} on {cores} usable cores", advice)
    capability = torch.backends.cpu.get_cpu_capability()
    slow = platform.machine().lower() in {"x86_64", "amd64"} and capability == "DEFAULT"
    yield Check(
        "processor",
        "warning" if slow else "ok",
        f"{platform.machine()}, torch uses {capability}",
        "no vector instructions are used, so training is slow" if slow else "",
    )


def usable_cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _graphics() -> Iterator[Check]:
    import torch

    if torch.cuda.is_available():
        properties = torch.cuda.get_device_properties(0)
        yield Check("gpu", "ok", f"{properties.name}, {properties.total_memory / GB:.0f} GB; device=auto uses it")
    elif torch.version.cuda and shutil.which("nvidia-smi"):
        yield Check(
            "gpu", "warning", "there is a driver, but torch cannot use it", "compare its CUDA version with torch's"
        )
    else:
        yield Check("gpu", "ok", "none that torch can use; device=auto uses the processor")


def _memory() -> Iterator[Check]:
    free = available_memory()
    if free is None:
        yield Check("memory", "ok", "this system does not say how much is free")
    elif free < LEAST_MEMORY:
        yield Check("memory", "warning", f"{free / GB:.1f} GB free", "close other programs, or train on fewer examples")
    else:
        yield Check("memory", "ok", f"{free / GB:.1f} GB free")


def available_memory() -> float | None:
    """Bytes that can be had without swapping, where the system says so, within the limit of a container."""
    meminfo = Path("/proc/meminfo")
    if not meminfo.exists():
        return None
    lines = dict(line.split(":", 1) for line in meminfo.read_text().splitlines() if ":" in line)
    free = float(lines["MemAvailable"].split()[0]) * 1024
    limit, used = Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory.current")
    if limit.exists() and used.exists() and (most := limit.read_text().strip()).isdigit():
        free = min(free, float(most) - float(used.read_text()))
    return free


def _disk() -> Iterator[Check]:
    here = Path.cwd()
    free = shutil.disk_usage(here).free
    if not os.access(here, os.W_OK):
        yield Check("disk", "warning", f"{here} cannot be written to", "run reverie in another folder, or give --out")
    elif free < LEAST_DISK:
        yield Check("disk", "warning", f"{free / GB:.1f} GB free in {here}", "free some: checkpoints need space")
    else:
        yield Check("disk", "ok", f"{free / GB:.0f} GB free in {here}")


def _data() -> Iterator[Check]:
    from reverie import data

    folder = os.environ.get("REVERIE_DATA")
    if folder is None:
        yield Check("REVERIE_DATA", "ok", "not set; it may name a folder of datasets such as mnist")
    elif not Path(folder).is_dir():
        yield Check("REVERIE_DATA", "warning", f"{folder} is no folder", "make it, or set the variable to another")
    else:
        yield Check("REVERIE_DATA", "ok", folder)
    for one in data.available():
        if one.found:
            yield Check(f"data {one.name}", "ok", one.where)
        else:
            advice = f"only `fit … {one.name}` needs it; REVERIE_DATA may name the folder that holds it"
            yield Check(f"data {one.name}", "warning", one.where, advice)


def _self_check() -> Iterator[Check]:
    """A machine so small that all about it is known: does it learn, agree with itself, and come back from disk?"""
    import numpy as np

    from reverie import RBM, load

    x = np.repeat(np.eye(6, dtype=np.float32), 20, axis=0)
    machine = RBM(hidden=4, epochs=20, batch_size=20, device="cpu").fit(x)
    uniform = -6 * np.log(2)
    exact = machine.log_likelihood(x, exact=True).value
    yield _judged("training", exact > uniform, f"a tiny RBM reaches {exact:.2f} nats; knowing nothing is {uniform:.2f}")
    annealed = machine.log_likelihood(x, exact=False, chains=100, temperatures=1000, burn_in=100).value
    yield _judged(
        "log Z", abs(exact - annealed) < 0.1, f"exact {exact:.3f} and annealed {annealed:.3f} nats per example"
    )
    with tempfile.TemporaryDirectory() as folder:
        machine.save(Path(folder) / "model")
        same = np.array_equal(load(Path(folder) / "model").sample(8), machine.sample(8))
    yield _judged("saving", same, "a model read back draws the same samples")


def _judged(name: str, good: bool, detail: str) -> Check:
    advice = "" if good else "this installation computes wrongly; reinstall torch and NumPy, or report it"
    return Check(name, "ok" if good else "failed", detail, advice)
