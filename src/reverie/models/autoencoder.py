r"""The autoencoder: a network learns to copy its input through a code that is too narrow for copying.

An encoder f gives a code h, a decoder g makes the example of it again (Hinton and Salakhutdinov 2006),

    h = f(x),        x̂ = g(h),        make −log p(x | x̂) small:

½‖x − x̂‖² for real columns (standardised, so that none outweighs the others), cross-entropy for binary and categorical
ones, their sum for rows of several kinds. What the code keeps is what it takes to tell examples apart. With linear
layers alone it is the subspace of the first principal components (Baldi and Hornik 1989), and the rest is what
non-linear layers add to that. The variants say what else a code should be, and may be combined:

==============  ==================================================================================================
plain           nothing else
denoising       made of a damaged input, x is to be found again: entries set to zero with probability ``mask``, normal
                noise of standard deviation ``noise`` added (Vincent et al. 2010)
sparse          ``sparsity`` · Σ_j |h_j| is added: few entries of the code are far from zero
contractive     ``contraction`` · ‖∂h/∂x‖² is added: the code changes little where x does (Rifai et al. 2011), with the
                Frobenius norm of the Jacobian J estimated without bias as ‖Jᵀv‖² for v ~ N(0, I)
tied            the decoder's matrices are the encoder's, transposed
==============  ==================================================================================================

No distribution of h belongs to it, so there is nothing to draw from: the variational autoencoder
(:mod:`reverie.models.vae`) has one. Once it has learned, the decoder can be thrown away:
``save(path, encoder_only=True)`` writes none.
"""

from __future__ import annotations

import math
import warnings
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar

import torch
from sklearn.utils.validation import check_is_fitted
from torch import Tensor, nn

from reverie.binary import Binarise
from reverie.contract import Curve, Metrics, Picture
from reverie.encoding import Kind
from reverie.errors import UsageError
from reverie.learning.gradient import Gradient
from reverie.model import Array
from reverie.models.latent import LatentModel, framed, reals, statistics
from reverie.models.nets import Activation, Parameters
from reverie.parameters import Count, Device, Fraction, NonNegative, Positive
from reverie.random import Random

MOST = 32
"""Entries of the code where their number is not given, at most."""
_INSTEAD = {
    "sample": "an Autoencoder has no distribution of codes to draw from; VAE has one, and can sample",
    "log_likelihood": "an Autoencoder is no distribution of examples; VAE is one, and can bound their likelihood",
}


class Autoencoder(LatentModel):
    """Autoencoder of binary, real, categorical or mixed columns.

    Args:
        latent: entries of the code; None takes half as many as an example has columns, at least 1 and at most 32, since
            a code as wide as the example could be a copy of it.
        hidden: sizes of the hidden layers from x to the code; the decoder has them in reverse.
        visible: one for all columns, or one for each, of "bernoulli", "gaussian", "integer", "categorical".
        mask: probability with which an entry of the input is set to zero in training.
        noise: standard deviation of noise that is added to the input in training.
        sparsity: weight of Σ |h|.
        contraction: weight of ‖∂h/∂x‖².
        tied: whether the decoder's matrices are the encoder's, transposed.
        activation: of the hidden layers.
        convolutional: whether images pass through convolutions; ``hidden`` are then layers between them and the code.
        channels: maps of the first convolution; each further one has twice as many.
        learning: how it learns.
        epochs: visits to every training example.
        batch_size: examples per update.
        learning_rate: at the start of the schedule.
        binarise: "threshold", a number to compare with, "fixed", "dynamic", or None for data that are 0 and 1 already.
        dequantise: whether real columns of whole numbers get uniform noise; None does so for integer types.
        seed: decides everything random.
        device: auto, cpu or cuda.
    """

    name: ClassVar[str] = "autoencoder"
    curves: ClassVar[tuple[Curve, ...]] = (
        Curve(
            "Reconstruction loss",
            {"train_reconstruction": "training", "validation_reconstruction": "validation"},
            "nats per example: cross-entropy, or half the squared error",
            "lower",
            "What training makes small, of a few undamaged rows of each split: cross-entropy of discrete columns, half "
            "the squared error of standardised real ones. The evidence has the whole squared error, of all columns.",
        ),
        Curve("Penalties", {"penalty": "sparsity and contraction"}, "added to the error", "lower"),
    )

    def __init__(
        self,
        latent: Count | None = None,
        *,
        hidden: tuple[Count, ...] = (512,),
        visible: Kind | tuple[Kind, ...] = "bernoulli",
        mask: Fraction = 0.0,
        noise: NonNegative = 0.0,
        sparsity: NonNegative = 0.0,
        contraction: NonNegative = 0.0,
        tied: bool = False,
        activation: Activation = "relu",
        convolutional: bool = False,
        channels: Count = 32,
        learning: Gradient | None = None,
        epochs: Count = 50,
        batch_size: Count = 100,
        learning_rate: Positive = 1e-3,
        binarise: Binarise = None,
        dequantise: bool | None = None,
        seed: int = 0,
        device: Device = "auto",
    ) -> None:
        self.latent = latent
        self.hidden = hidden
        self.visible = visible
        self.mask = mask
        self.noise = noise
        self.sparsity = sparsity
        self.contraction = contraction
        self.tied = tied
        self.activation = activation
        self.convolutional = convolutional
        self.channels = channels
        self.learning = learning
        self.epochs = epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.binarise = binarise
        self.dequantise = dequantise
        self.seed = seed
        self.device = device

    def __getattr__(self, name: str) -> Any:
        if name in _INSTEAD:
            raise AttributeError(_INSTEAD[name])
        return super().__getattr__(name)

    # The model ------------------------------------------------------------------------------------------------------

    @property
    def latent_(self) -> int:
        """Entries of the code: half of the columns, where they are not given."""
        return self.latent or min(max(1, self.n_features_in_ // 2), MOST)

    def code(self, x: Tensor) -> Tensor:
        """h: (B, d) -> (B, latent)."""
        return self.encoded(x, self.params_)

    def error(self, x: Tensor, h: Tensor, params: Parameters) -> Tensor:
        """−log p(x | x̂) but for the constants of real columns: (B, d), (B, latent) -> (B,) nats."""
        unit = self.x_unit
        return -unit.log_prob(x, self.decoded(h, params)) - 0.5 * reals(unit) * math.log(2 * math.pi)

    def _decoder(self, z: Tensor, params: Parameters) -> Tensor:
        if not self.tied:
            return super()._decoder(z, params)
        last = len(self.hidden)
        transposed = {f"decoder.W{k}": params[f"encoder.W{last - k}"].T for k in range(last + 1)}
        return self.decoder(z, {**params, **transposed}, "decoder.")

    # How it learns --------------------------------------------------------------------------------------------------

    def objective(self, batch: Tensor, params: Parameters, rng: Random) -> tuple[Tensor, dict[str, Tensor]]:
        """The error of an input that was damaged, and what penalties add; the sum of these is a figure."""
        t = self.damaged(statistics(self.x_unit, batch), rng)
        if self.contraction:
            t = t.detach().requires_grad_()
        h = self.encoder(self._framed(t), params, "encoder.")
        loss = self.error(batch, h, params).mean()
        penalties = []
        if self.sparsity:
            penalties.append(self.sparsity * h.abs().sum(-1).mean())
        if self.contraction:
            penalties.append(self.contraction * squared_jacobian(h, t, rng).mean())
        if not penalties:
            return loss, {}
        penalty = torch.stack(penalties).sum()
        return loss + penalty, {"penalty": penalty}

    def damaged(self, t: Tensor, rng: Random) -> Tensor:
        """Statistics (B, linear) with entries set to zero and noise added."""
        if self.mask:
            t = t * rng.bernoulli(torch.full_like(t, 1 - self.mask))
        return t + self.noise * rng.normal(tuple(t.shape)).to(t) if self.noise else t

    def initialise(self, rows: Tensor, rng: Random) -> dict[str, Tensor]:
        """Random weights, and a decoder that begins with each column's own distribution."""
        if self.tied and self.convolutional:
            raise UsageError("tied=True needs fully connected layers; leave convolutional out")
        return {name: p for name, p in super().initialise(rows, rng).items() if not self._is_tied(name)}

    def _is_tied(self, name: str) -> bool:
        return self.tied and name.startswith("decoder.W")

    def layout(self) -> dict[str, tuple[int | None, ...]]:
        """Shapes of the tensors of the fitted model, which may have been saved without its decoder."""
        return {
            name: shape
            for name, shape in super().layout().items()
            if not self._is_tied(name.removeprefix("params.")) and (self.whole or name.startswith("params.encoder."))
        }

    def principle(self) -> Gradient:
        """Adam on the error."""
        return self.learning or Gradient()

    def monitor(self, train: Tensor, validation: Tensor | None, rng: Random) -> Metrics:
        """The error of a few undamaged rows of each split."""
        splits = {"train": train} if validation is None else {"train": train, "validation": validation}
        return {
            f"{name}_reconstruction": float(self.error(x, self.code(x), self.params_).mean())
            for name, x in splits.items()
        }

    # The encoder alone ----------------------------------------------------------------------------------------------

    @property
    def whole(self) -> bool:
        """Whether the decoder is there."""
        return any(not name.startswith("encoder.") for name in self.params_)

    def save(self, path: str | Path, *, encoder_only: bool = False) -> None:
        """Write the model folder ``path``; with ``encoder_only`` it holds no decoder, and what is loaded has none."""
        check_is_fitted(self, "params_")
        if not encoder_only:
            super().save(path)
            return
        kept = {name: p for name, p in self.params_.items() if name.startswith("encoder.")}
        super(Autoencoder, self.with_params(kept)).save(path)

    def _means(self, z: Tensor, y: Tensor | None) -> Tensor:
        if not self.whole:
            raise UsageError("this autoencoder was saved without its decoder: it can only transform")
        return super()._means(z, y)

    def pictures(self, x: Array, rng: Random) -> list[Picture]:
        """As far as the decoder is there, which draws them."""
        return super().pictures(x, rng) if self.whole else []

    def export_onnx(self, path: str | Path) -> None:
        """Write the encoder as an ONNX file: from prepared rows (n, d), as the equations see them, to codes.

        The preparation (binarising, standardising) is not part of it. It needs the packages ``onnx`` and
        ``onnxscript``: ``pip install reverie[onnx]``.

        Raises:
            UsageError: they are not installed.
        """
        check_is_fitted(self, "params_")
        if missing := [name for name in ("onnx", "onnxscript") if find_spec(name) is None]:
            raise UsageError(f"export_onnx needs {' and '.join(missing)}: pip install 'reverie[onnx]'")
        encoder = _Exported(self).eval()
        rows = torch.zeros(3, self.x_unit.size)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about the exporter's own future
            torch.onnx.export(
                encoder,
                (rows,),
                str(path),
                input_names=["x"],
                output_names=["h"],
                dynamic_shapes={"x": {0: torch.export.Dim.DYNAMIC}},
                dynamo=True,
                external_data=False,
                verbose=False,
            )


class _Exported(nn.Module):
    """The encoder as torch's exporter wants it."""

    def __init__(self, model: Autoencoder) -> None:
        super().__init__()
        self.encoder, self.unit, self.columns = model.encoder, model.x_unit, model.n_features_in_
        self.names = [name for name in model.params_ if name.startswith("encoder.")]
        self.weights = nn.ParameterList([model.params_[name].detach().cpu() for name in self.names])
        places = model._places()
        self.framed = places is not None
        if places is not None:
            self.register_buffer("places", places.cpu())

    def forward(self, x: Tensor) -> Tensor:
        """(n, d) -> (n, latent)."""
        rows = framed(statistics(self.unit, x), self.get_buffer("places") if self.framed else None, self.columns)
        return self.encoder(rows, dict(zip(self.names, self.weights, strict=True)), "encoder.")


def squared_jacobian(h: Tensor, t: Tensor, rng: Random) -> Tensor:
    """An unbiased estimate of ‖∂h/∂t‖² for each row, differentiable: (B, L), (B, D) -> (B,)."""
    v = rng.normal(tuple(h.shape)).to(h)
    (back,) = torch.autograd.grad(h, t, v, create_graph=True)
    return back.square().sum(-1)
