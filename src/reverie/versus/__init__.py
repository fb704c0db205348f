"""Generative or discriminative: p(x, y) and its twin for p(y | x), fitted to the same rows and measured alike.

`twins` makes the discriminative contender of a model, `duel` draws both learning curves and says where they cross,
`abilities` shows what p(x, y) can do and p(y | x) cannot. They take models and arrays, and know no files.
"""

from __future__ import annotations

from reverie.versus.abilities import Abilities, show
from reverie.versus.duel import Crossover, Curves, Plan, fight

__all__ = ["Abilities", "Crossover", "Curves", "Plan", "fight", "show"]
