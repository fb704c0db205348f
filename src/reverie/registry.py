"""Command-line name -> class, imported only when asked for."""

from __future__ import annotations

import difflib
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from reverie.errors import CorruptFileError, UsageError

if TYPE_CHECKING:
    from reverie.model import Model

_MODELS = {
    "boltzmann": (
        "reverie.models.boltzmann",
        "BoltzmannMachine",
        "Boltzmann machine: binary units, every two of them connected, trained by maximum likelihood",
    ),
    "rbm": (
        "reverie.models.rbm",
        "RBM",
        "restricted Boltzmann machine for binary, real, categorical or mixed data, trained by contrastive divergence",
    ),
    "gaussian-rbm": (
        "reverie.models.gaussian_rbm",
        "GaussianBernoulliRBM",
        "Gaussian-Bernoulli RBM: binary features of real-valued data, with a variance for every column",
    ),
    "dbn": (
        "reverie.models.dbn",
        "DeepBeliefNetwork",
        "deep belief network: RBMs stacked and trained layer by layer, then fine-tuned",
    ),
}


def names() -> dict[str, str]:
    """Every model's name and one line about it; imports nothing."""
    return {name: about for name, (_, _, about) in _MODELS.items()}


def get(name: str) -> type[Model]:
    """The class of a model.

    Raises:
        UsageError: there is no such model; suggests the nearest name.
    """
    if name not in _MODELS:
        near = difflib.get_close_matches(name, _MODELS, 1)
        raise UsageError(
            f"no model is called {name!r}; "
            + (f"did you mean {near[0]}?" if near else f"there are {', '.join(_MODELS)}")
        )
    module, cls, _ = _MODELS[name]
    found: type[Model] = getattr(import_module(module), cls)
    return found


def load(path: str | Path) -> Model:
    """The model saved in the folder ``path``, verified.

    Raises:
        DataError: there is no such folder.
        CorruptFileError: it is damaged, edited, of a newer format, or of a model that this reverie does not have.
    """
    from reverie import storage

    saved, tensors = storage.read_model(Path(path))
    if saved.model not in _MODELS:
        raise CorruptFileError(f"{path}: holds a model {saved.model!r} that this reverie does not have")
    return get(saved.model).restored(saved, tensors, Path(path))
