r"""Units: tiny exponential-family distributions, the bricks of every model.

A unit is a block of ``size`` variables with natural parameters η and density

    log p(x | η) = T(x)·η − A(η) + log h(x),

summed over the block. Everything follows from T and A: the mean is ∇A, and the maximum of the likelihood is where the
mean equals the average statistics (Wainwright and Jordan 2008, section 3). The same units are an RBM's visible and
hidden layers, a naive Bayes class, an HMM's emissions, a mixture's components and a decoder's likelihood.

==============  ==========================  ==================================  ==============================
unit            x                           T(x), η (…, parameters)             base measure, h
==============  ==========================  ==================================  ==============================
Bernoulli       0 or 1, (…, D)              x; logits (…, D)                    counting on {0, 1}^D
Gaussian        real, (…, D)                x, x²; (μ/σ², −1/2σ²)  (…, 2D)      Lebesgue on R^D
Categorical(K)  codes 0 … K − 1, (…, D)     one-hot; logits (…, D·K)            counting on {0 … K − 1}^D
UnitGaussian    real, (…, D)                x; mean (…, D)                      e^(−x²/2) on R^D
Rectified       real ≥ 0, (…, D)            x; η (…, D)                         e^(−x²/2) on [0, ∞)^D
Blocks          the blocks' own, in a row   all linear ones, then all others    the product of the blocks'
==============  ==========================  ==================================  ==============================

The first ``linear`` natural parameters are those that another layer can shift: all but a Gaussian's quadratic ones.
``UnitGaussian`` and ``Rectified`` are hidden layers, whose scale the weights can take over. A rectified unit is a
truncated normal variable, so that its energy is exact: the relative of Nair and Hinton's (2010) noisy rectified linear
unit that has one.
"""

from __future__ import annotations

from reverie.units.bernoulli import Bernoulli
from reverie.units.blocks import Blocks, correlated, degrees, uncorrelated
from reverie.units.categorical import Categorical
from reverie.units.full_gaussian import FullGaussian
from reverie.units.gaussian import Gaussian
from reverie.units.unit_variance import Rectified, UnitGaussian

__all__ = [
    "Bernoulli",
    "Blocks",
    "Categorical",
    "FullGaussian",
    "Gaussian",
    "Rectified",
    "UnitGaussian",
    "correlated",
    "degrees",
    "uncorrelated",
]
