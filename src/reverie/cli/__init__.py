"""The command line: every command parses, makes one library call, and says what came of it.

Nothing here imports torch, NumPy or scikit-learn before a command needs them, so that help and completion are instant.
"""

from reverie.cli.application import app, main

__all__ = ["app", "main"]
