"""Several models on the same data: which one to take, and why.

`families` says who can compete and what each is told of the data, `field` trains them under one budget into run
folders, `ground` holds all their draws against the same validation examples in the same numbers, `standing` puts them
in order, with a reason for each. `cost` measures time and memory. A comparison is a folder of run folders, so that
nothing is lost when it stops.
"""

from __future__ import annotations

from reverie.comparison.compare import Comparison, compete, of_runs, on_data
from reverie.comparison.families import Contender, contenders
from reverie.comparison.field import Entry, Plan
from reverie.comparison.standing import Mean, Outcome, Standing

__all__ = [
    "Comparison",
    "Contender",
    "Entry",
    "Mean",
    "Outcome",
    "Plan",
    "Standing",
    "compete",
    "contenders",
    "of_runs",
    "on_data",
]
