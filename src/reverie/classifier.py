r"""A classifier out of any generative model, by Bayes' rule: p(y | x) ∝ p(y) p(x | y).

Either one model for each class, each fitted to the rows of its class, or one model of p(x, y), used as it is.

**One ground.** Densities of different classes may only be compared on the same base measure, so one encoding (scales,
constant columns, categories, thresholds, noise) is learned from the rows of all classes and shared by all models. A
column that never varies within one class, but does over all, then stays in the model of that class, with the least
variance that it allows, instead of being set apart there and nowhere else. Models that were fitted before, for
:meth:`GenerativeClassifier.of`, are refused where they do not share their ground.

**log Z.** An energy-based model knows p(x | y) up to its log Z, which is the same for every x: an error of it shifts
the log odds of its class everywhere, and no number of examples averages it out. Where log Z_k is only known to lie in
[low_k, high_k], so is the log score of class k, and p(k | x) lies between its values at the two corners that are worst
and best for k: log Z_k at one end, and all others at the other. That is :meth:`predict_proba_interval`.
"""

from __future__ import annotations

import copy
import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field
from scipy.special import logsumexp, softmax
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.utils import _safe_indexing, column_or_1d
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from reverie import __version__, parameters, storage
from reverie.contract import LogPartition
from reverie.density import EXACT, DensityModel
from reverie.errors import CorruptFileError, DataError, SeenOtherwiseWarning, UsageError
from reverie.model import Array, Model
from reverie.models.naive_bayes import NaiveBayes
from reverie.random import Random


class GenerativeClassifier(ClassifierMixin, BaseEstimator):
    """Any generative model as a classifier.

    Args:
        model: what is fitted to the rows of each class; or, where it learns labels (``NaiveBayes()``,
            ``RBM(labels=True)``), to all of them at once. None stands for ``NaiveBayes()``.
        priors: of the classes, in their order, with a sum of 1; None takes their shares of the training rows.

    Attributes:
        classes_: the labels, in rising order.
        models_: the fitted models, one for each class; or the joint one alone.
        class_prior_: p(y), (K,), of models of one class each.
    """

    name: ClassVar[str] = "classifier"
    """What a saved one is called in its folder."""

    def __init__(self, model: Model | None = None, *, priors: Sequence[float] | None = None) -> None:
        self.model = model
        self.priors = priors

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = self._template.gaps
        return tags

    @property
    def _template(self) -> Model:
        return NaiveBayes() if self.model is None else self.model

    # Fitting --------------------------------------------------------------------------------------------------------

    def fit(self, X: Any, y: Any) -> Self:
        """Fit a model to each class, or the joint one.

        Args:
            X: (n, …) rows, or whatever the model takes.
            y: (n,) labels.

        Raises:
            DataError: fewer than two classes, or rows that the model cannot take.
            UsageError: priors that do not fit, or a model whose density is only bounded.
        """
        template = self._template
        if template.labels:
            self._fit_joint(template, X, y)
        else:
            self._fit_classes(template, X, y)
        self._take_features()
        return self

    def _take_features(self) -> None:
        for name in ("n_features_in_", "feature_names_in_"):
            self.__dict__.pop(name, None)
            if hasattr(self.models_[0], name):
                setattr(self, name, getattr(self.models_[0], name))

    def _fit_joint(self, template: Model, X: Any, y: Any) -> None:
        if self.priors is not None:
            raise UsageError(
                f"GenerativeClassifier(priors={self.priors!r}): {type(template).__name__} learns p(x, y) as a whole, "
                "priors included; give them to the model where it takes any"
            )
        # Naive Bayes learns from rows without a label too, and looks at its labels by itself.
        model = _fitted(template, template.shared_, X, y if isinstance(template, NaiveBayes) else _labels(y))
        if not hasattr(model, "predict_proba"):
            raise UsageError(f"{type(model).__name__} has learned labels, but cannot tell p(y | x)")
        self.models_, self.classes_ = [model], model.classes_

    def _fit_classes(self, template: Model, X: Any, y: Any) -> None:
        if not hasattr(template, "score_samples") or hasattr(template, "depth"):
            raise UsageError(
                f"the likelihood of a {type(template).__name__} is at best bounded from below, so that classes cannot "
                "be compared by it: take a model of p(x, y), labels=True, or another model"
            )
        labels = _labels(y)
        if isinstance(X, Tensor):
            X = X.numpy(force=True)
        X = X if hasattr(X, "__len__") else np.asarray(X)
        shared = clone(template).learned_from(X) if template.shared_ is None else template.shared_
        if len(X) != len(labels):
            raise DataError(f"y has {len(labels):,} labels, but there are {len(X):,} examples")
        self.classes_, codes, counts = np.unique(labels, return_inverse=True, return_counts=True)
        if len(self.classes_) < 2:
            raise DataError(f"y holds one class alone, {self.classes_[0]}; a classifier takes 2 or more")
        self.class_prior_ = self._priors(counts)
        self.models_ = [self._of_class(template, X, codes == k, shared, y) for k, y in enumerate(self.classes_)]

    @staticmethod
    def _of_class(template: Model, X: Any, own: Array, shared: Mapping[str, Tensor], y: Any) -> Model:
        try:
            return _fitted(template, shared, _safe_indexing(X, np.flatnonzero(own)))
        except DataError as error:
            raise DataError(f"class {y}: {error}") from error

    def _priors(self, counts: Array) -> Array:
        if self.priors is None:
            shares: Array = counts / counts.sum()
            return shares
        priors = np.asarray(self.priors, dtype=np.float64)
        if priors.shape != counts.shape or (priors <= 0).any() or not math.isclose(priors.sum(), 1, abs_tol=1e-6):
            raise UsageError(
                f"GenerativeClassifier(priors={self.priors!r}): it takes {len(counts)} numbers above 0 with a sum of 1"
            )
        return priors

    @classmethod
    def of(cls, models: Mapping[Any, Model], priors: Sequence[float] | None = None) -> Self:
        """A classifier out of fitted models, one for each class.

        Args:
            models: label -> fitted model.
            priors: of the classes, in the order of their labels; equal by default, since nothing is known of them.

        Raises:
            DataError: the models do not share their base measure.
            UsageError: fewer than two models, or one that is not fitted, or priors that do not fit.
        """
        found = cls(next(iter(models.values()), None), priors=priors)
        try:
            found.classes_ = np.array(sorted(models))
        except TypeError as error:
            listed = ", ".join(map(repr, models))
            raise UsageError(f"the labels {listed} have no order: give numbers, or words") from error
        if len(found.classes_) < 2:
            raise UsageError("a classifier takes the models of two classes or more")
        found.models_ = [models[label] for label in found.classes_.tolist()]
        for model, label in zip(found.models_, found.classes_, strict=True):
            check_is_fitted(model, "params_")
            if model.labels or not hasattr(model, "score_samples") or hasattr(model, "depth"):
                raise UsageError(f"the model of class {label} is no density of x alone")
            _refuse_other_ground(found.models_[0], model, found.classes_[0], label)
        found.class_prior_ = found._priors(np.ones(len(models)))
        found._take_features()
        return found

    # Saving ---------------------------------------------------------------------------------------------------------

    def save(self, path: str | Path) -> None:
        """Write one folder with all the models (safetensors and JSON with checksums); :func:`reverie.load` reads it.

        What is loaded predicts the same, to the last bit where a model's own folder does.

        Raises:
            UsageError: arguments of a model were changed after fitting, or the folder holds something else.
        """
        check_is_fitted(self, "models_")
        contents = [model.contents() for model in self.models_]
        prior = None if self.joint else self.class_prior_.tolist()
        saved = {
            "reverie": __version__,
            "model": self.name,
            "parameters": {
                "model": self.model and {"name": self.model.name, "parameters": parameters.to_json(self.model)},
                "priors": None if self.priors is None else [float(p) for p in self.priors],
            },
            "fitted": {
                "classes_": self.classes_.tolist(),
                "class_prior_": prior,
                "models": [own for own, _ in contents],
            },
        }
        tensors = {f"{k}.{name}": t for k, (_, own) in enumerate(contents) for name, t in own.items()}
        storage.save_model(Path(path), saved, tensors)

    @classmethod
    def restored(
        cls, saved: storage.Contents, tensors: Mapping[str, Tensor], path: Path, family: Callable[[str], type[Model]]
    ) -> Self:
        """The classifier that :meth:`save` wrote to the folder ``path``, with models of each ``family`` by its name.

        Raises:
            CorruptFileError: the parts do not fit together.
        """
        where = path / "model.json"
        arguments = storage.parsed(_Arguments, saved.parameters, where)
        fitted = storage.parsed(_Fitted, saved.fitted, where)
        own: list[dict[str, Tensor]] = [{} for _ in fitted.models]
        try:
            for name, tensor in tensors.items():
                k, _, bare = name.partition(".")
                own[int(k)][bare] = tensor
            template = None
            if arguments.model is not None:
                kind = family(arguments.model.name)
                template = kind(**parameters.from_json(kind, arguments.model.parameters))
        except (IndexError, TypeError, ValueError) as error:
            raise CorruptFileError(f"{path}: the saved classifier does not fit together: {error}") from error
        found = cls(template, priors=arguments.priors)
        found.classes_ = np.array(fitted.classes_)
        found.models_ = [
            family(one.model).restored(one, part, path) for one, part in zip(fitted.models, own, strict=True)
        ]
        if len(found.models_) != (1 if fitted.class_prior_ is None else len(found.classes_)):
            raise CorruptFileError(f"{path}: {len(found.models_)} models do not fit {len(found.classes_)} classes")
        if fitted.class_prior_ is not None:
            found.class_prior_ = np.array(fitted.class_prior_)
        found._take_features()
        return found

    # Answers --------------------------------------------------------------------------------------------------------

    @property
    def joint(self) -> bool:
        """Whether one model of p(x, y) answers."""
        check_is_fitted(self, "models_")
        return len(self.models_) == 1

    @property
    def base_measure(self) -> str:
        """What densities are counted on."""
        check_is_fitted(self, "models_")
        measure: str = self.models_[0].base_measure
        return measure

    def predict(self, X: Any) -> Array:
        """The likeliest label of each example: (n, …) -> (n,)."""
        best = self.predict_proba(X).argmax(1)
        labels: Array = self.classes_[best]
        return labels

    def predict_proba(self, X: Any) -> Array:
        """p(y | x): (n, …) -> (n, K), at the value of each log Z."""
        if self.joint:
            p: Array = self.models_[0].predict_proba(X)
        else:
            p = softmax(self.predict_joint_log_proba(X), axis=1)
        return p

    def predict_log_proba(self, X: Any) -> Array:
        """log p(y | x): (n, …) -> (n, K) nats."""
        if not self.joint:
            scores = self.predict_joint_log_proba(X)
            log_p: Array = scores - logsumexp(scores, axis=1, keepdims=True)
        elif hasattr(self.models_[0], "predict_log_proba"):
            log_p = self.models_[0].predict_log_proba(X)
        else:
            log_p = np.log(self.predict_proba(X).clip(np.finfo(np.float64).tiny))
        return log_p

    def predict_joint_log_proba(self, X: Any) -> Array:
        """log p(x, y) of every label: (n, …) -> (n, K) nats, at the value of each log Z.

        Where densities are closed forms, whole numbers that are dequantised stand in the middle of their levels, here
        and in all that is predicted; :meth:`score_samples` adds seeded noise to them, the same for every class.
        """
        if self.joint:
            scores: Array = self.predict_log_proba(X) + _centred_scores(self.models_[0], X)[:, None]
        else:
            scores = self._of_each(lambda model: _centred_scores(model, X)) + np.log(self.class_prior_)
        return scores

    def _of_each(self, scores: Callable[[Model], Array]) -> Array:
        """What models of one class each say of the same rows, (n, K); of what they all leave out, the first says it."""
        found = [scores(self.models_[0])]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SeenOtherwiseWarning)
            found += [scores(model) for model in self.models_[1:]]
        return np.stack(found, 1)

    def predict_proba_interval(self, X: Any) -> tuple[Array, Array]:
        """The least and the greatest p(y | x) that the brackets of log Z allow: (n, …) -> (n, K), (n, K).

        Both equal :meth:`predict_proba` where every log Z is exact, and of a joint model, from whose p(y | x) it
        cancels. They say nothing of the other error, that the models are not the truth.
        """
        if self.joint:
            p = self.predict_proba(X)
            return p, p
        scores = self.predict_joint_log_proba(X)
        found = [getattr(model, "log_partition_", EXACT) for model in self.models_]
        _tell_of_doubt(found, self.classes_)
        value, low, high = (np.array([getattr(z, name) for z in found]) for name in ("value", "low", "high"))
        return _corner(scores, value - high, value - low), _corner(scores, value - low, value - high)

    def score_samples(self, X: Any) -> Array:
        """log p(x) = log Σ_y p(x, y) of each example: (n,) nats."""
        if self.joint:
            log_p: Array = self.models_[0].score_samples(X)
        else:
            found = self._of_each(lambda model: _on_noise_of(self.models_[0], model).score_samples(X))
            log_p = logsumexp(found + np.log(self.class_prior_), axis=1)
        return log_p

    def sample(self, n: int = 1, *, y: Any = None, seed: int | None = None, **how: Any) -> Array:
        """Draw examples, of a label y or of all by their priors; ``how`` goes to the model's own ``sample``."""
        seed = self._seed if seed is None else seed
        if self.joint:
            draws: Array = self.models_[0].sample(n, y=y, seed=seed, **how)
            return draws
        if not isinstance(n, int | np.integer) or n < 0:
            raise UsageError(f"n={n!r}: it takes an integer ≥ 0")
        if y is not None:
            k = self._place_of(y)
            drawn: Array = self.models_[k].sample(n, seed=_own_seed(seed, k), **how)
            return drawn
        u = Random(seed, "classifier/sample").uniform((n,)).numpy()
        codes = np.searchsorted(self.class_prior_.cumsum()[:-1], u, side="right")
        parts = [
            model.sample(int((codes == k).sum()), seed=_own_seed(seed, k), **how)
            for k, model in enumerate(self.models_)
        ]
        place = np.argsort(np.argsort(codes, kind="stable"), kind="stable")
        mixed: Array = np.concatenate(parts)[place]
        return mixed

    @property
    def _seed(self) -> int:
        check_is_fitted(self, "models_")
        return int(self.models_[0].seed)

    def _place_of(self, y: Any) -> int:
        place = np.flatnonzero(self.classes_ == y)
        if not len(place):
            raise UsageError(f"y={y!r} is none of the labels {', '.join(map(str, self.classes_[:10]))}")
        return int(place[0])


class _Named(BaseModel):
    """A family and its constructor's arguments."""

    model_config = ConfigDict(extra="forbid")

    name: str
    parameters: dict[str, Any]


class _Arguments(BaseModel):
    """The constructor's arguments, as they are saved."""

    model_config = ConfigDict(extra="forbid")

    model: _Named | None
    priors: list[float] | None


class _Fitted(BaseModel):
    """What fitting gave, as it is saved; one prior for each class where each has a model of its own."""

    model_config = ConfigDict(extra="forbid")

    classes_: list[bool] | list[int] | list[float] | list[str]
    class_prior_: list[float] | None
    models: list[storage.Contents] = Field(min_length=1)


def _fitted(template: Model, shared: Mapping[str, Tensor] | None, X: Any, y: Any = None) -> Model:
    """A fitted clone, with the encoding that it is to share, if there is one."""
    model: Model = clone(template)
    if shared is None:
        return model.fit(X, y)
    model.shared_ = shared
    try:
        return model.fit(X, y)
    finally:
        del model.shared_


def _own_seed(seed: int, k: int) -> int:
    """The seed of class k's draws, which shares no noise with other classes, nor with those of other seeds."""
    return int(Random(seed, f"classifier/{k}").integers(2**31, 1)[0])


def _centred_scores(model: Model, X: Any) -> Array:
    """log p(x) to compare classes by: without noise on whole numbers, where the density is a closed form."""
    scores: Array = model.centred_scores(X) if isinstance(model, DensityModel) else model.score_samples(X)
    return scores


def _on_noise_of(one: Model, other: Model) -> Model:
    """The other model with the noise that the one adds to what it scores, where nothing else is drawn."""
    if not isinstance(other, DensityModel):
        return other
    twin = copy.copy(other)
    twin.__dict__.update(seed=one.seed, name=one.name)
    return twin


def _labels(y: Any) -> Array:
    """Labels (n,) of classes.

    Raises:
        DataError: they are none.
    """
    if y is None:
        raise DataError("GenerativeClassifier requires y to be passed, but the target y is None")
    try:
        labels: Array = column_or_1d(y, warn=True)
        if labels.dtype.kind == "f" and not np.isfinite(labels).all():
            row = int(np.argmin(np.isfinite(labels)))
            raise DataError(f"y holds {labels[row]} in row {row}, which is no label; of models, NaiveBayes takes NaN")
        check_classification_targets(labels)
    except DataError:
        raise
    except ValueError as error:
        raise DataError(" ".join(str(error).split())) from error
    return labels


def _corner(scores: Array, own: Array, others: Array) -> Array:
    """p(k | x) where the score of class k is moved by ``own`` and those of the rest by ``others``: (n, K)."""
    moved = scores + others
    p = np.empty_like(scores)
    for k in range(scores.shape[1]):
        at = moved.copy()
        at[:, k] = scores[:, k] + own[k]
        p[:, k] = np.exp(at[:, k] - logsumexp(at, axis=1))
    return p


def _tell_of_doubt(found: Sequence[LogPartition], classes: Array) -> None:
    """Warn where annealing runs disagree, so that the brackets are wide and may still be too narrow."""
    doubtful = [str(y) for z, y in zip(found, classes, strict=True) if z.verdict == "inconsistent"]
    if doubtful:
        warnings.warn(
            f"log Z is an inconsistent estimate for {', '.join(doubtful)}: the intervals hold what its runs found, and "
            "the truth may lie outside; train for less long, or on fewer hidden units, until chains mix",
            stacklevel=3,
        )


def _refuse_other_ground(one: Model, other: Model, first: Any, second: Any) -> None:
    """Raise DataError where densities of two models are not counted on the same measure.

    Means and scales of real columns may differ, since densities are in the data's own units.
    """
    same = one.base_measure == other.base_measure and one.shape_ == other.shape_
    if same:
        for name in one.encoding.layout(one.n_features_in_):
            if name.split(".")[-1] not in ("loc", "scale"):
                a, b = (model.buffers_[name].numpy(force=True) for model in (one, other))
                same = same and np.array_equal(a, b, equal_nan=True)
    if not same:
        raise DataError(
            f"the models of classes {first} and {second} count on different base measures ({one.base_measure}; "
            f"{other.base_measure}), so that their densities cannot be compared: let GenerativeClassifier(model) fit "
            "them, which learns one encoding from all classes"
        )
    if (one.seed, one.name) != (other.seed, other.name) and (_draws(one) or _draws(other)):
        one_of, other_of = (f"{type(model).__name__}(seed={model.seed})" for model in (one, other))
        raise DataError(
            f"the models of classes {first} and {second}, {one_of} and {other_of}, prepare examples by draws of their "
            "own, so that their densities are not those of one and the same example: fit models of one kind with one "
            "seed"
        )


def _draws(model: Model) -> bool:
    """Whether draws of its own seed decide what the model compares: bits, or noise without a middle to take."""
    if model.get_params(deep=False).get("binarise") in ("fixed", "dynamic"):
        return True
    noisy = not isinstance(model, DensityModel)
    return noisy and any(k.split(".")[-1] == "noise" and bool(t > 0) for k, t in model.buffers_.items())
