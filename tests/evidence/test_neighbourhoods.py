"""Precision, recall, density and coverage: the published definitions by brute force, and what they must be."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from reverie.errors import DataError, UsageError
from reverie.evidence import arrays
from reverie.evidence.resemblance import coverage_of


def by_definition(real, fake, k):
    """Naeem et al. 2020, equations 1, 2, 4 and 5, one pair of points after the other."""

    def balls(points):
        distances = [sorted(float(np.sqrt(((p - q) ** 2).sum())) for q in points) for p in points]
        return [d[k] for d in distances]  # the first is the point itself

    reach, own = balls(real), balls(fake)
    apart = np.array([[np.sqrt(((x - y) ** 2).sum()) for y in fake] for x in real])
    inside = apart < np.array(reach)[:, None]
    return {
        "precision": inside.any(0).mean(),
        "recall": (apart < np.array(own)[None]).any(1).mean(),
        "density": inside.sum(0).mean() / k,
        "coverage": inside.any(1).mean(),
    }


@pytest.mark.parametrize(("n", "m", "f", "k"), [(40, 40, 3, 5), (30, 55, 10, 3), (55, 30, 1, 1), (7, 6, 2, 5)])
def test_it_is_the_published_definition(n, m, f, k):
    rng = np.random.default_rng(n)
    real, fake = rng.normal(size=(n, f)), rng.normal(size=(m, f)) * 1.2 + 0.3
    found = coverage_of(real, fake, k)
    for name, value in by_definition(real, fake, k).items():
        assert getattr(found, name).value == pytest.approx(value, abs=1e-12), name


def test_ties_lie_outside_as_defined():
    rng = np.random.default_rng(0)
    real, fake = (rng.integers(0, 2, (50, 6)).astype(float) for _ in range(2))
    found = coverage_of(real, fake, 3)
    for name, value in by_definition(real, fake, 3).items():
        assert getattr(found, name).value == pytest.approx(value, abs=1e-12), name


def test_copies_far_from_the_origin_are_at_no_distance():
    real = np.repeat(1e4 + np.random.default_rng(0).normal(size=(5, 3)), 8, 0)
    # Eight copies of each: the fifth neighbour is a copy, and nothing lies in a ball of no size.
    assert coverage_of(real, real, 5).coverage.value == 0


def test_blocks_change_nothing(monkeypatch):
    rng = np.random.default_rng(1)
    real, fake = rng.normal(size=(80, 4)), rng.normal(size=(60, 4))
    whole = coverage_of(real, fake)
    monkeypatch.setattr(arrays, "BLOCK", 500)
    assert coverage_of(real, fake) == whole


def test_the_same_distribution_has_the_expected_coverage_and_density():
    """E[coverage] = 1 − Π (m + n − 1 − …), near 1 − 2⁻ᵏ, and E[density] = 1 (Naeem et al. 2020, lemmas 1 and 2)."""
    rng = np.random.default_rng(2)
    found = [coverage_of(rng.normal(size=(200, 5)), rng.normal(size=(200, 5)), 3) for _ in range(40)]
    n = m = 200
    expected = 1 - np.prod([(n - i) / (m + n - i) for i in range(1, 4)])
    assert np.mean([f.coverage.value for f in found]) == pytest.approx(expected, abs=0.01)
    assert np.mean([f.density.value for f in found]) == pytest.approx(1, abs=0.02)


def test_a_dropped_mode_costs_recall_and_coverage_but_no_precision():
    rng = np.random.default_rng(3)
    real = np.concatenate([rng.normal(size=(100, 2)), rng.normal(size=(100, 2)) + 20])
    found = coverage_of(real, rng.normal(size=(200, 2)))
    assert found.precision.value > 0.9
    assert found.coverage.value == pytest.approx(0.5, abs=0.03)
    assert found.recall.value < 0.51


def test_tensors_images_and_single_precision():
    x = torch.randn(30, 4, 4, generator=torch.Generator().manual_seed(0))
    assert coverage_of(x, x.numpy(), space="pixels").coverage.base_measure == "pixels"


def test_what_it_cannot_take_is_refused():
    x = np.zeros((9, 2))
    with pytest.raises(UsageError, match="fake has 3 examples"):
        coverage_of(x, x[:3])
    with pytest.raises(UsageError, match="k=0"):
        coverage_of(x, x, 0)
    with pytest.raises(DataError, match="fake has 1 features"):
        coverage_of(x, x[:, :1])
    with pytest.raises(DataError, match="fake, row 4"):
        coverage_of(x, np.where(np.arange(9)[:, None] == 4, np.nan, x))
    with pytest.raises(DataError, match="no features"):
        coverage_of(x[:0], x)
