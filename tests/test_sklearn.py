"""scikit-learn's own checks of every registered model, and why a few of them do not apply."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

from reverie import RBM, registry
from reverie.errors import DataError

IMAGES = {"dcgan"}
"""Models that refuse tables, which are all that the checks make."""
# The checks make real-valued data, so models of bits take them at their midpoints; small, because there are many.
SMALL = {
    **{"hidden": 4, "components": 1, "clusters": 2, "states": 4},
    **{"epochs": 2, "batch_size": 20, "binarise": "threshold", "device": "cpu"},
}


def instance(name):
    cls = registry.get(name)
    known = cls().get_params(deep=False)
    small = {k: v for k, v in SMALL.items() if k in known}
    return cls(**{**small, "hidden": (4, 3)} if isinstance(known.get("hidden"), tuple) else small)


def expected_failures(estimator):
    """Checks that a generative model must fail, by name, each with its reason."""
    if getattr(estimator, "labels", False):
        # It wants 83% of three clusters of real numbers; here are two epochs, and bits in the place of the numbers.
        return {"check_classifiers_train": "a high accuracy on its data is not what so short a training is for"}
    if isinstance(estimator, RBM) and estimator.visible == "gaussian":
        return {"check_methods_sample_order_invariance": "the last bit of float32 products depends on a batch's order"}
    if estimator.sequences:
        one = "a table of rows is one sequence to it, in which the neighbours of a step count"
        return {
            "check_methods_sample_order_invariance": one,
            "check_methods_subset_invariance": one,
            "check_dtype_object": "it wants scikit-learn's own words of labels that are no numbers",
        }
    return {}


# Variants that take other ways than the defaults do: classifiers, and real columns.
VARIANTS = [
    instance("rbm").set_params(labels=True),
    instance("dbn").set_params(labels=True),
    instance("rbm").set_params(visible="gaussian", binarise=None),
    instance("gan").set_params(labels=True),
]


@parametrize_with_checks(
    [*(instance(name) for name in registry.names() if name not in IMAGES), *VARIANTS],
    expected_failed_checks=expected_failures,
)
def test_scikit_learn_finds_nothing_to_complain_of(estimator, check):
    check(estimator)


REAL = np.random.default_rng(0).normal(size=(20, 4))


@pytest.mark.parametrize("name", registry.names())
def test_without_a_protocol_only_bits_are_taken(name):
    """``binarise=None``, the default, refuses all but 0 and 1, and says where the value is and what to do."""
    model = instance(name)
    if "binarise" not in model.get_params():
        pytest.skip("no model of binary data")
    model.set_params(binarise=None, **({"visible": "bernoulli"} if "visible" in model.get_params() else {}))
    almost = np.eye(4)
    almost[2, 1] = 1 + 1e-12
    for x, where in ((REAL, "row 0, column 0"), (2 * np.eye(4), "row 0, column 0"), (almost, "row 2, column 1")):
        with pytest.raises(DataError, match=f"{where} holds .* give binarise='threshold'"):
            model.fit(x, np.arange(len(x)) % 2 if model.labels else None)
        assert not hasattr(model, "params_")
    model.fit(np.eye(4), np.arange(4) % 2 if model.labels else None)
    for verb in ("score_samples", "transform", "reconstruct", "score"):
        if hasattr(model, verb):
            with pytest.raises(DataError, match="row 2, column 1"):
                getattr(model, verb)(almost)


def test_thresholded_data_are_the_bits():
    """Fitting real values at their midpoints is fitting the bits that they stand for."""
    middle = (REAL.min(0) + REAL.max(0)) / 2
    bits = np.greater(REAL, middle).astype(float)
    from_real = RBM(3, epochs=2, binarise="threshold", device="cpu").fit(REAL)
    from_bits = RBM(3, epochs=2, device="cpu").fit(bits)
    np.testing.assert_array_equal(from_real.W_, from_bits.W_)
    np.testing.assert_array_equal(from_real.score_samples(REAL), from_bits.score_samples(bits))
