"""``python -m reverie.cli``: the command line without its script."""

from reverie.cli import main

main()
