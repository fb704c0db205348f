"""Data: read it, check it, split it, look at it, write it. It knows no model.

Heavy libraries (Pillow, pyarrow, scikit-learn) are imported by what needs them, when it is called.
"""

from reverie.data.bundled import Bundled, available, known
from reverie.data.dataset import ColumnFindings, Dataset, Findings, Split, check, load
from reverie.data.images import sheet
from reverie.data.schema import Column, Schema
from reverie.data.schema import read as read_schema
from reverie.data.writers import write

__all__ = [
    "Bundled",
    "Column",
    "ColumnFindings",
    "Dataset",
    "Findings",
    "Schema",
    "Split",
    "available",
    "check",
    "known",
    "load",
    "read_schema",
    "sheet",
    "write",
]
