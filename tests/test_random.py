"""Seeded randomness: exact where the comparison can be counted out, statistical where only the generator can speak."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import stats

from reverie.errors import UsageError
from reverie.random import Random

COARSE = torch.arange(-(2**15), 2**15, dtype=torch.int16)
DITHERS = 2**8


def shares(monkeypatch, p):
    """Share of ones over all 2¹⁶ values of a draw's own bits, for each of 2⁸ evenly spaced dithers: 2²⁴ thresholds."""
    rng = Random()
    monkeypatch.setattr(rng, "_raw16", lambda shape: COARSE)
    found = []
    for k in range(DITHERS):
        monkeypatch.setattr(rng, "_words", lambda n, k=k: np.array([k << 56], dtype=np.uint64))
        found.append(float(rng.bernoulli(torch.full((1,), p).expand(2**16)).mean(dtype=torch.float64)))
    return np.array(found)


@pytest.mark.parametrize("p", [0.0, 1e-9, 2.0**-25, 2.0**-24, 1e-4, 1 / 3, 0.5, 0.9, 1 - 2.0**-24, 1.0])
def test_each_probability_is_met_to_two_to_the_minus_24(monkeypatch, p):
    """Not a statistical test: over 2²⁴ thresholds the share of ones is counted."""
    share = float(shares(monkeypatch, p).mean())
    assert abs(share - float(np.float32(p))) <= 2.0**-24
    assert share == {0.0: 0.0, 1.0: 1.0}.get(p, share)


@pytest.mark.parametrize("p", [2.0**-17, 0.3, 0.77777])
def test_draws_that_share_a_dither_are_all_but_independent(monkeypatch, p):
    """Not a statistical test: given the dither two draws are independent, so their covariance is that of the shares."""
    assert float(shares(monkeypatch, p).var()) < 2.0**-32


def test_the_share_of_ones():
    """From the generator itself, 4,000,000 draws each.

    Power: a bias of 4 standard errors is caught, 0.001 at p = 1/2 and 0.00006 at p = 0.001 (6 %).
    """
    rng, n = Random(0), 4_000_000
    for p in (0.001, 0.1, 0.5, 0.7):
        share = float(rng.bernoulli(torch.full((n,), p)).mean(dtype=torch.float64))
        assert abs(share - p) < 4 * math.sqrt(p * (1 - p) / n), p


def test_every_bit_of_the_thresholds_is_fair():
    """24 bits of 1,000,000 thresholds, each a fair coin, and no two neighbours alike more often than not.

    Power: 4.5 standard errors are 0.00225; a stuck or skewed bit, or correlation between them, above that is caught.
    """
    raw = Random(0)._raw24((1_000_000,))
    assert 0 <= int(raw.min()) < 2**8
    assert 2**24 - 2**8 < int(raw.max()) < 2**24
    bits = (raw[:, None] >> torch.arange(24) & 1).double()
    assert float((bits.mean(0) - 0.5).abs().max()) < 0.00225
    together = (bits[:, 1:] == bits[:, :-1]).double().mean(0)
    assert float((together - 0.5).abs().max()) < 0.00225
    follows = (bits[1:] == bits[:-1]).double().mean(0)
    assert float((follows - 0.5).abs().max()) < 0.00225


def test_uniform_is_uniform():
    """Chi-square over 1,000 bins of 1,000,000 draws, p > 0.001: a bin off by 15 % is caught, or a slope of 1 %."""
    u = Random(1).uniform((1_000_000,))
    assert u.dtype is torch.float32
    assert 0 <= float(u.min()) < float(u.max()) < 1
    counts = torch.histc(u, 1000, 0, 1)
    assert stats.chisquare(counts.double().numpy()).pvalue > 0.001
    assert stats.chisquare(counts.double().numpy()).pvalue < 0.999


def test_normal_is_normal():
    """Kolmogorov-Smirnov of 100,000 draws: a distance of 0.0062 gives p < 0.001."""
    x = Random(0).normal((100_000,))
    assert x.dtype is torch.float32
    assert stats.kstest(x.numpy(), "norm").pvalue > 0.001


def test_noise_is_the_inverse_distribution_function_of_its_words(monkeypatch):
    """Not a statistical test: words from one end to the other, against SciPy in float64."""
    rng, words = Random(), torch.linspace(-(2.0**31), 2.0**31 - 1, 100_001, dtype=torch.float64).to(torch.int32)
    monkeypatch.setattr(rng, "_raw32", lambda shape: words)
    z = rng.gaussian(torch.zeros(100_001), torch.ones(()))
    u = (words.float() / 2.0**31).clamp(2.0**-24 - 1, 1 - 2.0**-24).double()
    np.testing.assert_allclose(z.double(), stats.norm.ppf((1 + u.numpy()) / 2), rtol=1e-5, atol=3e-7)
    assert -float(z[0]) == float(z[-1]) == pytest.approx(stats.norm.isf(2.0**-25), rel=1e-6)


def test_noise_has_the_means_and_deviations_asked_for():
    """Kolmogorov-Smirnov of 100,000 draws: a distance of 0.0062 gives p < 0.001."""
    for dtype in (torch.float32, torch.float64):
        loc = torch.linspace(-3, 3, 100_000, dtype=dtype).view(-1, 5)
        scale = torch.tensor([0.1, 1, 2, 3, 10], dtype=dtype)
        x = Random(0).gaussian(loc, scale)
        assert x.dtype is dtype
        assert x.shape == loc.shape
        assert stats.kstest(((x - loc) / scale).flatten().numpy(), "norm").pvalue > 0.001
    assert Random(0).gaussian(torch.zeros(0, 3), torch.ones(3)).shape == (0, 3)
    assert Random(0).gaussian(torch.tensor(math.nan), torch.ones(())).isnan()


def test_bernoulli_keeps_type_and_shape():
    for dtype in (torch.float32, torch.float64):
        p = torch.full((2, 3, 5), 0.5, dtype=dtype)
        draws = Random(0).bernoulli(p)
        assert draws.dtype is dtype
        assert draws.shape == p.shape
        assert set(draws.unique().tolist()) == {0.0, 1.0}
    assert Random(0).bernoulli(torch.tensor(0.5)).shape == ()
    assert Random(0).bernoulli(torch.zeros(0, 3)).shape == (0, 3)
    assert Random(0).bernoulli(torch.zeros(3, 3).T).shape == (3, 3)


def test_probabilities_on_another_device_are_met_there():
    """The stream draws where it lives; here the other device is one without data, so only the way there is tested."""
    stream = Random(0)
    stream.device = torch.device("meta")
    seen = []
    stream.bernoulli = lambda p: seen.append(p.device.type) or torch.zeros(p.shape)
    assert Random.bernoulli(stream, torch.full((2, 3), 0.5)).device.type == "cpu"
    assert seen == ["meta"]


def test_bernoulli_leaves_the_probabilities_alone():
    p = torch.full((100,), 0.5)
    Random(0).bernoulli(p)
    assert bool((p == 0.5).all())


def test_a_probability_that_is_no_number_is_not_hidden():
    """NaN stays NaN in float32, so that a training that diverged is noticed."""
    assert Random(0).bernoulli(torch.tensor([math.nan])).isnan().all()


def everything(rng):
    """A few draws of every kind, odd counts included, as one list of numbers."""
    return [
        *rng.uniform((5,)).tolist(),
        *rng.bernoulli(torch.full((7,), 0.3)).tolist(),
        *rng.normal((3,)).tolist(),
        *rng.gaussian(torch.zeros(5), torch.ones(())).tolist(),
        *rng.permutation(9).tolist(),
        *rng.integers(5, 3).tolist(),
        *rng.choice(np.array([0.2, 0.8]), 4).tolist(),
    ]


def test_equal_seeds_and_names_are_equal_streams():
    assert everything(Random(3, "a")) == everything(Random(3, "a"))
    assert everything(Random(3, "a")) != everything(Random(4, "a"))
    assert everything(Random(3, "a")) != everything(Random(3, "b"))
    assert everything(Random(-1)) != everything(Random(1))


def test_a_stream_depends_on_its_name_alone():
    """Not on what was drawn before, and not the other way round."""
    parent, other = Random(3), Random(3)
    other.uniform((1000,))
    assert everything(parent.stream("x")) == everything(other.stream("x"))
    parent.stream("y").uniform((10,))
    assert everything(parent) == everything(Random(3))
    assert everything(Random(3).stream("a").stream("b")) != everything(Random(3).stream("b").stream("a"))


def test_streams_are_independent():
    """Correlation of 1,000,000 draws of two streams, and of two seeds, below 4 standard errors, 0.004."""
    n = 1_000_000
    pairs = [(Random(0).stream("a"), Random(0).stream("b")), (Random(0), Random(1)), (Random(0), Random(0).stream(""))]
    for one, other in pairs:
        correlation = np.corrcoef(one.uniform((n,)).numpy(), other.uniform((n,)).numpy())[0, 1]
        assert abs(correlation) < 4 / math.sqrt(n)


@pytest.mark.parametrize("before", range(8))
def test_the_state_is_the_whole_of_it(before):
    """After 0 to 7 draws of each kind (so with half-used words left over) the state restores the rest bit for bit."""
    rng = Random(5, "saved")
    for _ in range(before):
        rng.uniform((3,))
        rng.permutation(5)
        rng.integers(7, 1)
    state = rng.state.clone()
    assert state.dtype is torch.int64
    wanted = everything(rng)
    again = Random(99, "another")
    again.state = state
    assert everything(again) == wanted
    assert not torch.equal(again.state, state)
    again.state = state
    assert torch.equal(again.state, state)


def test_numpy_and_torch_are_left_alone():
    """The package draws from its own streams and never from, or into, the global ones."""
    before = np.random.get_state()[1].tolist(), torch.get_rng_state()
    everything(Random(0))
    assert np.random.get_state()[1].tolist() == before[0]
    assert torch.equal(torch.get_rng_state(), before[1])


def test_choice_and_permutation():
    """Frequencies of 40,000 choices within 4 standard errors (0.01 at most); a permutation holds every number once."""
    p = np.array([0.1, 0.2, 0.7])
    found = np.bincount(Random(0).choice(p, 40_000), minlength=3) / 40_000
    assert (np.abs(found - p) < 4 * np.sqrt(p * (1 - p) / 40_000)).all()
    assert sorted(Random(0).permutation(100)) == list(range(100))
    assert set(Random(0).integers(3, 100)) == {0, 1, 2}


@pytest.mark.parametrize("seed", ["x", 1.5, None, [1]])
def test_seeds_are_integers(seed):
    with pytest.raises(UsageError, match="seed="):
        Random(seed)
    assert torch.equal(Random(np.int64(3)).uniform((4,)), Random(3).uniform((4,)))
