"""Run every benchmark, one after the other, and put their tables into ``docs/benchmarks.md`` between its markers.

``python benchmarks/all.py`` takes a few hours on two idle cores; names (``python benchmarks/all.py ais memory``)
choose some. Those that would take longest run with the settings below, fewer seeds or rows than by themselves, which
their tables say. Ends with exit code 7 if a bound is missed, after writing all tables.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from pathlib import Path

from _common import Result, load_result

HERE = Path(__file__).parent
PAGE = HERE.parent / "docs" / "benchmarks.md"
NAMES = (
    *("rbm_epoch", "family", "ais", "boltzmann_sweep", "memory", "hmm", "kmeans"),
    *("digits", "bars_and_stripes", "contrastive_bias", "modes", "encoder", "distributed"),
    *("vae", "codes", "dcgan", "adversarial_modes", "gan_table"),
)
SETTINGS = {
    "adversarial_modes": ("--seeds", "4"),  # of ten: one of each task takes five minutes
    "dcgan": ("--rows", "12800"),
    "distributed": ("--seeds", "1", "--epochs", "400"),
}


def run(name: str) -> tuple[Result, str]:
    """One benchmark in a process of its own: its result, and the machine that it ran on."""
    done = subprocess.run(
        [sys.executable, str(HERE / f"{name}.py"), "--json", *SETTINGS.get(name, ())], stdout=subprocess.PIPE, text=True
    )
    if done.returncode not in (0, 7):
        raise SystemExit(f"{name}.py ended with exit code {done.returncode}")
    return load_result(done.stdout), json.loads(done.stdout)["machine"]


def filled(page: str, name: str, text: str) -> str:
    """The page with ``text`` between the markers of ``name``."""
    begin, end = f"<!-- begin {name} -->", f"<!-- end {name} -->"
    pattern = re.compile(f"{re.escape(begin)}.*?{re.escape(end)}", re.DOTALL)
    if not pattern.search(page):
        raise SystemExit(f"{PAGE.name} has no markers for {name}: {begin} … {end}")
    return pattern.sub(lambda _: f"{begin}\n\n{text}\n{end}", page)


def main(names: list[str]) -> int:
    """Run the benchmarks of these names, or all; the exit code."""
    unknown = [name for name in names if name not in NAMES]
    if unknown:
        raise SystemExit(f"there is no benchmark {', '.join(unknown)}; there are {', '.join(NAMES)}")
    missed: list[str] = []
    for name in names or NAMES:
        start = time.perf_counter()
        result, machine = run(name)
        PAGE.write_text(filled(PAGE.read_text(), name, f"{result.markdown()}- Measured on {machine}.\n"))
        print(f"{name}: {time.perf_counter() - start:.0f} s\n{result.markdown()}", flush=True)
        missed += [f"{name}: {check}" for check in result.checks if not check.met]
    print("\n".join(missed) or "every bound is kept")
    return 7 if missed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
