"""reverie: deep generative models that learn your data, dream more of it, and show the evidence."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_HOMES = {
    "BoltzmannMachine": "reverie.models.boltzmann",
    "GaussianBernoulliRBM": "reverie.models.gaussian_rbm",
    "DeepBeliefNetwork": "reverie.models.dbn",
    "UpDown": "reverie.learning.wake_sleep",
    "Discriminative": "reverie.learning.gradient",
    "KMeans": "reverie.models.kmeans",
    "HMM": "reverie.models.hmm",
    "Mixture": "reverie.models.mixture",
    "Autoencoder": "reverie.models.autoencoder",
    "VAE": "reverie.models.vae",
    "Gradient": "reverie.learning.gradient",
    "GAN": "reverie.models.gan",
    "DCGAN": "reverie.models.dcgan",
    "Adversarial": "reverie.learning.adversarial",
    "Classic": "reverie.learning.adversarial",
    "NaiveBayes": "reverie.models.naive_bayes",
    "GenerativeClassifier": "reverie.classifier",
    "RBM": "reverie.models.rbm",
    "CD": "reverie.learning.contrastive",
    "PCD": "reverie.learning.contrastive",
    "PT": "reverie.learning.contrastive",
    "Exact": "reverie.learning.contrastive",
    "Trajectory": "reverie.energy",
    "Estimate": "reverie.contract",
    "Run": "reverie.run",
    "load": "reverie.registry",
    "ReverieError": "reverie.errors",
}
__all__ = [
    "CD",
    "DCGAN",
    "GAN",
    "HMM",
    "PCD",
    "PT",
    "RBM",
    "VAE",
    "Adversarial",
    "Autoencoder",
    "BoltzmannMachine",
    "Classic",
    "DeepBeliefNetwork",
    "Discriminative",
    "Estimate",
    "Exact",
    "GaussianBernoulliRBM",
    "GenerativeClassifier",
    "Gradient",
    "KMeans",
    "Mixture",
    "NaiveBayes",
    "ReverieError",
    "Run",
    "Trajectory",
    "UpDown",
    "__version__",
    "load",
]

if TYPE_CHECKING:
    from reverie.classifier import GenerativeClassifier
    from reverie.contract import Estimate
    from reverie.energy import Trajectory
    from reverie.errors import ReverieError
    from reverie.learning.adversarial import Adversarial, Classic
    from reverie.learning.contrastive import CD, PCD, PT, Exact
    from reverie.learning.gradient import Discriminative, Gradient
    from reverie.learning.wake_sleep import UpDown
    from reverie.models.autoencoder import Autoencoder
    from reverie.models.boltzmann import BoltzmannMachine
    from reverie.models.dbn import DeepBeliefNetwork
    from reverie.models.dcgan import DCGAN
    from reverie.models.gan import GAN
    from reverie.models.gaussian_rbm import GaussianBernoulliRBM
    from reverie.models.hmm import HMM
    from reverie.models.kmeans import KMeans
    from reverie.models.mixture import Mixture
    from reverie.models.naive_bayes import NaiveBayes
    from reverie.models.rbm import RBM
    from reverie.models.vae import VAE
    from reverie.registry import load
    from reverie.run import Run


def __getattr__(name: str) -> Any:
    # Importing torch takes a second or two, and `reverie --help` needs none of it.
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'reverie' has no attribute {name!r}; its public names are {', '.join(__all__)}")


def __dir__() -> list[str]:
    return list(__all__)
