"""Command-line name -> class, imported only when asked for."""

from __future__ import annotations

import difflib
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reverie.errors import CorruptFileError, UsageError

if TYPE_CHECKING:
    from reverie.model import Model

_MODELS = {
    "kmeans": (
        "reverie.models.kmeans",
        "KMeans",
        "k-means, and the exact density of the isotropic mixture that it stands for",
    ),
    "mixture": (
        "reverie.models.mixture",
        "Mixture",
        "mixture of components over binary, real, categorical or mixed columns, trained by expectation-maximisation",
    ),
    "naive-bayes": (
        "reverie.models.naive_bayes",
        "NaiveBayes",
        "naive Bayes: a label, and columns that know of each other only through it; p(x, y) in one step",
    ),
    "hmm": (
        "reverie.models.hmm",
        "HMM",
        "hidden Markov model of sequences, of any kind of columns, trained by expectation-maximisation",
    ),
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
    "autoencoder": (
        "reverie.models.autoencoder",
        "Autoencoder",
        "autoencoder: a code from which the example can be made again; plain, denoising, sparse, contractive or tied",
    ),
    "vae": (
        "reverie.models.vae",
        "VAE",
        "variational autoencoder: a normal latent and a network that makes an example of it, trained by a lower bound",
    ),
    "gan": (
        "reverie.models.gan",
        "GAN",
        "generative adversarial network: a generator and a discriminator that learn by playing against each other",
    ),
    "dcgan": (
        "reverie.models.dcgan",
        "DCGAN",
        "deep convolutional GAN of images of any size from 8 to 128 pixels",
    ),
}


def names() -> dict[str, str]:
    """Every model's name and one line about it; imports nothing."""
    return {name: about for name, (_, _, about) in _MODELS.items()}


def about(name: str) -> str:
    """The line about a model as it stands behind its name, which it does not say again."""
    _, cls, line = _MODELS[name]
    first, _, rest = line.partition(": ")
    bare = "".join(filter(str.isalnum, first)).lower()
    return rest if rest and bare in (cls.lower(), name) else line


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


def load(path: str | Path) -> Any:
    """The model, or the classifier out of several, saved in the folder ``path``, verified.

    Raises:
        DataError: there is no such folder.
        CorruptFileError: it is damaged, edited, of a newer format, or of a model that this reverie does not have.
    """
    from reverie import storage

    def family(name: str) -> type[Model]:
        if name not in _MODELS:
            raise CorruptFileError(f"{path}: holds a model {name!r} that this reverie does not have")
        return get(name)

    saved, tensors = storage.read_model(Path(path))
    if saved.model not in _MODELS:
        from reverie.classifier import GenerativeClassifier

        if saved.model == GenerativeClassifier.name:
            return GenerativeClassifier.restored(saved, tensors, Path(path), family)
    return family(saved.model).restored(saved, tensors, Path(path))
