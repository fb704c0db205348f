"""Data: read it, check it, split it, look at it, write it. It knows no model.

Heavy libraries (Pillow, pyarrow, scikit-learn) are imported by what needs them, when it is called.
"""

from reverie.data.bundled import Bundled, available
from reverie.data.dataset import Dataset, Findings, Split, check, load
from reverie.data.images import sheet
from reverie.data.writers import write

__all__ = ["Bundled", "Dataset", "Findings", "Split", "available", "check", "load", "sheet", "write"]
