"""The estimator's base: scikit-learn's conventions on one side, the loop, evidence and storage on the other.

Three layers, each on the one before: rows in and out (`rows`), a folder to be kept in (`saving`), learning and what
follows from it for every family (`base`).
"""

from __future__ import annotations

from reverie.model.base import ROWS, VERBS, Model
from reverie.model.rows import FARTHEST, Array

__all__ = ["FARTHEST", "ROWS", "VERBS", "Array", "Model"]
