"""Importance weights: sums as they come against sums at once, and the bound on a target that is known."""

from __future__ import annotations

import math

import pytest
import torch

from reverie.evidence.importance import estimate, gathered, joined, parts


@pytest.mark.parametrize("k", [1, 2, 5, 32, 33])
@pytest.mark.parametrize("most", [1, 7, 100])
def test_sums_as_they_come_are_sums_at_once(k, most):
    log_w = 50 * torch.randn(k, 6, generator=torch.Generator().manual_seed(k)).double() - 700
    found = gathered(log_w.split(most), k)
    torch.testing.assert_close(found.bound, log_w.logsumexp(0) - math.log(k))
    torch.testing.assert_close(found.single, log_w.mean(0))
    if k > 1:
        first, second = log_w[: k // 2], log_w[k // 2 :]
        halves = [part.logsumexp(0) - math.log(len(part)) for part in (first, second)]
        torch.testing.assert_close(found.half, (halves[0] + halves[1]) / 2)
    assert list(parts(k, most)) == [len(part) for part in log_w.split(most)]


def test_as_many_weights_as_were_promised():
    with pytest.raises(AssertionError):
        gathered([torch.zeros(3, 2)], 4)


def test_the_bound_rises_to_the_truth_and_says_how_far_it_is():
    """Weights that are log-normal around p = 1: log w ~ N(−σ²/2, σ²), so that L_1 = −σ²/2 and L_∞ = 0.

    What L_k lacks is about (e^{σ²} − 1) / 2k. Power: 20,000 examples know each mean to 0.002.
    """
    n, spread = 20_000, 1.0
    for k in (2, 16, 64):
        generator = torch.Generator().manual_seed(k)
        log_w = spread * torch.randn(k, n, generator=generator, dtype=torch.float64) - spread**2 / 2
        found = gathered(log_w.split(10), k)
        assert float(found.single.mean()) == pytest.approx(-0.5, abs=5 / math.sqrt(k * n))
        lacking = -float(found.bound.mean())
        error = 5 * float(found.bound.std()) / math.sqrt(n)
        assert lacking > -error
        if k > 2:
            assert lacking == pytest.approx((math.e - 1) / (2 * k), rel=0.25, abs=error)
            assert found.rise == pytest.approx(lacking, rel=0.3, abs=error)
        said = estimate(joined([found]), 0.0, "nothing")
        assert said.kind == "lower bound"
        assert said.low == said.value <= said.high
        assert said.verdict == ("converged" if found.rise < 0.1 else f"still rising by {found.rise:.2f} nats")
        assert f"{k} samples" in said.method


def test_one_sample_is_the_evidence_lower_bound():
    said = estimate(gathered([torch.tensor([[1.0, 3.0]])], 1), 0.5, "nothing", ("a note",))
    assert (said.value, said.low, said.high, said.n) == (1.5, 1.5, 1.5, 2)
    assert "evidence lower bound" in said.method
    assert said.verdict == "one sample"
    assert said.notes == ("a note",)
