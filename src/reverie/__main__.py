"""``python -m reverie``: the command line without its script."""

from reverie.cli import main

main()
