"""Copies are planted and must be counted right; brute force and scipy beside; no alarm where nothing is to be found."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from scipy.stats import mannwhitneyu

from reverie.errors import DataError, UsageError
from reverie.evidence import memorisation as m


def gaussian(rng, n, d=8):
    return rng.normal(size=(n, d))


def parts(seed=0, train=600, held_out=300, d=8):
    rng = np.random.default_rng(seed)
    return rng, gaussian(rng, train, d), gaussian(rng, held_out, d)


def planted(rng, train, share, n=300, noise=0.0):
    """Draws of which a share are training rows with noise, and the others honest."""
    copied = round(share * n)
    rows = train[rng.integers(len(train), size=copied)] + noise * gaussian(rng, copied, train.shape[1])
    return np.concatenate([rows, gaussian(rng, n - copied, train.shape[1])])


def test_nearest_rows_are_those_of_brute_force():
    _, train, x = parts(d=5)
    found = m.nearest(x, train, k=4)
    distances = np.sqrt(((x[:, None] - train) ** 2).sum(2))
    np.testing.assert_array_equal(found.rows, distances.argsort(1, kind="stable")[:, :4])
    np.testing.assert_allclose(found.distances, np.sort(distances, 1)[:, :4])


def test_blocks_change_nothing(monkeypatch):
    _, train, x = parts()
    whole = m.nearest(x, train, k=3)
    monkeypatch.setattr("reverie.evidence.arrays.BLOCK", 1500)
    part = m.nearest(x, train, k=3)
    np.testing.assert_array_equal(whole.rows, part.rows)
    np.testing.assert_allclose(whole.distances, part.distances)


@pytest.mark.parametrize("share", [0.1, 0.5, 1.0])
def test_the_share_of_exact_copies_is_found(share):
    rng, train, held_out = parts()
    found = m.memorisation(train, held_out, planted(rng, train, share))
    assert found.exact.draws.value == found.exact.copied.value == pytest.approx(share)
    assert found.exact.honest.value == 0
    for copies in (found.near, found.nearer):
        assert copies.copied.low <= share <= copies.copied.high + 1e-9
        assert copies.p < 0.05 or share < copies.detectable
        q = copies.honest.value
        assert share < 1 or copies.copied.value == pytest.approx(1)
        assert copies.copied.value == pytest.approx((copies.draws.value - q) / (1 - q))
    assert found.alarm
    assert found.verdict.startswith("The model copies: about")


def test_the_share_of_noisy_copies_is_found():
    """Noise of a tenth of a standard deviation, where the closest other rows are some thirteen tenths away."""
    rng, train, held_out = parts()
    found = m.memorisation(train, held_out, planted(rng, train, 0.3, noise=0.1))
    assert found.exact.draws.value == 0
    assert found.near.copied.low <= 0.3 <= found.near.copied.high
    assert found.alarm


def test_copies_hidden_in_noise_still_lie_nearer_to_training_rows():
    """Too far away for near copies, but held-out rows have no such neighbours."""
    rng, train, held_out = parts()
    found = m.memorisation(train, held_out, planted(rng, train, 1, n=600, noise=0.35))
    assert found.near.copied.value < 0.6
    assert found.nearer.draws.value > 0.85
    assert found.nearer.p < 0.01
    assert found.alarm


@pytest.mark.parametrize(
    "make", [lambda x: 0.7 * x, lambda x: 0.5 + 0.5 * x, lambda x: 1.5 * x], ids=["narrow", "shifted", "wide"]
)
def test_draws_that_are_merely_bad_are_no_copies(make):
    """A narrow or shifted model moves C_T, up or down; it must not be called a copier."""
    rng, train, held_out = parts()
    found = m.memorisation(train, held_out, make(gaussian(rng, 300)))
    assert abs(found.three_sample.statistic.estimate.value) > 2
    assert not found.alarm
    assert found.verdict.startswith("No sign of copying")


def test_too_typical_is_said_of_narrow_draws():
    rng, train, held_out = parts()
    found = m.memorisation(train, held_out, 0.7 * gaussian(rng, 300))
    assert found.three_sample.statistic.p < 1e-3
    assert "too typical, rather than copied" in found.verdict


def test_a_copied_row_that_comes_twice_is_a_copy_all_the_same():
    rng, train, held_out = parts()
    twice = np.concatenate([train, train])
    _, near = m.copies(twice, held_out, planted(rng, train, 1.0, noise=0.03))
    assert near.draws.value > 0.99


def test_copies_survive_the_rounding_of_features():
    rng, train, held_out = parts(d=50)
    draws = planted(rng, train, 1.0) * (1 + 1e-7 * rng.normal(size=(300, 50)))
    assert m.copies(train, held_out, draws)[0].draws.value == 1
    assert m.copies(train, held_out, draws + 1e-3)[0].draws.value == 0


def test_in_a_small_table_everyone_repeats_rows():
    """Four bits: honest draws are all copies, as are held-out rows, and there is nothing to find."""
    rng = np.random.default_rng(0)
    train, held_out, draws = (rng.integers(0, 2, size=(n, 4)) for n in (400, 300, 300))
    found = m.memorisation(train, held_out, draws)
    assert found.exact.draws.value == found.exact.honest.value == 1
    assert found.exact.copied is None
    assert "can hardly be told" in found.verdict
    assert m.copies(train, held_out, train[:300])[0].p > 0.001


def test_sparse_bits_can_be_copied():
    rng = np.random.default_rng(0)
    train, held_out, honest = (rng.integers(0, 2, size=(n, 20)) for n in (400, 300, 300))
    draws = np.concatenate([honest[:240], train[:60]])
    found = m.memorisation(train, held_out, draws)
    assert found.alarm
    assert found.exact.copied.low <= 0.2 <= found.exact.copied.high
    assert not m.memorisation(train, held_out, honest).alarm


@pytest.mark.parametrize(("d", "p", "narrow"), [(10, 0.3, 0.2), (15, 0.3, 0.25), (20, 0.2, 0.1)])
def test_a_narrow_model_of_a_few_bits_is_no_copier(d, p, narrow):
    """It repeats common rows far more often than held-out rows do, those that nobody learned as well."""
    rng = np.random.default_rng(0)
    train, held_out, draws = ((rng.random((n, d)) < q) * 1.0 for n, q in ((1000, p), (500, p), (500, narrow)))
    found = m.memorisation(train, held_out, draws)
    assert found.near.p < m.SURE
    assert found.near.copied.low > m.COPIED
    assert (found.alarm, found.copies, found.copied) == (False, False, 0)
    assert "The model copies" not in found.verdict


def test_a_copier_of_rows_that_repeat_by_themselves_is_found_by_nearness():
    rng = np.random.default_rng(0)
    train, held_out, draws = ((rng.random((n, 20)) < q) * 1.0 for n, q in ((1000, 0.2), (500, 0.2), (500, 0.1)))
    draws[:250] = train[rng.integers(len(train), size=250)]
    found = m.memorisation(train, held_out, draws)
    assert found.exact.honest.value > 0.1
    assert found.copies
    assert found.nearer.copied.low <= 0.5 <= found.nearer.copied.high
    assert found.copied == found.nearer.copied.low
    assert f"The model copies: about {found.nearer.copied.value:.1%}" in found.verdict


def nulls(repetitions, d, make=gaussian, train=40, held_out=30, draws=35):
    """p-values of every test where draws are honest, (repetitions, 4)."""
    rng = np.random.default_rng(1)
    found = []
    for seed in range(repetitions):
        t, h, x = (make(rng, n, d) for n in (train, held_out, draws))
        exact, near = m.copies(t, h, x, seed=seed)
        three = m.three_sample(t, h, x, seed=seed)
        found.append((exact.p, near.p, m.nearer_to_training(t, h, x, seed=seed).p, three.statistic.p))
    return np.array(found)


def bits(rng, n, d):
    return rng.integers(0, 2, size=(n, d)).astype(float)


@pytest.mark.parametrize(("make", "d"), [(gaussian, 2), (bits, 6)], ids=["plane", "bits"])
def test_honest_draws_are_seldom_called_copies(make, d, monkeypatch):
    """1,000 null repetitions at level 5 %: within 3 and 7 %, of which the standard error is 0.7 %."""
    monkeypatch.setattr(m, "PERMUTATIONS", 99)
    monkeypatch.setattr(m, "_detectable", lambda *_: 1.0)
    rejected = (nulls(1000, d, make) <= 0.05).mean(0)
    assert (np.abs(rejected - 0.05) <= 0.02).all(), rejected


def test_a_collapsed_model_is_no_excuse_for_an_alarm(monkeypatch):
    """All draws crowd around one point: they are as near to one kind of row as to the other."""
    monkeypatch.setattr(m, "PERMUTATIONS", 99)
    rng = np.random.default_rng(2)
    p = []
    for seed in range(300):
        train, held_out = gaussian(rng, 40, 2), gaussian(rng, 40, 2)
        p.append(m.nearer_to_training(train, held_out, 0.2 * gaussian(rng, 60, 2), seed=seed).p)
    assert 0.02 <= np.mean(np.array(p) <= 0.05) <= 0.085  # three standard errors


@pytest.mark.parametrize(("kind", "d"), [("near", 3), ("nearer", 3)])
def test_what_is_called_detectable_is_detected(kind, d, monkeypatch):
    """Copies planted in that share, 150 times: found in 80 %, give or take (standard error 3 %)."""
    monkeypatch.setattr(m, "PERMUTATIONS", 99)
    rng = np.random.default_rng(3)
    found, planned = [], []

    def run(train, held_out, draws, seed):
        if kind == "near":
            return m.copies(train, held_out, draws, seed=seed)[1]
        return m.nearer_to_training(train, held_out, draws, seed=seed)

    for seed in range(150):
        train, held_out = gaussian(rng, 80, d), gaussian(rng, 60, d)
        share = run(train, held_out, gaussian(rng, 60, d), seed).detectable
        copied = rng.binomial(60, share) / 60
        found.append(run(train, held_out, planted(rng, train, copied, 60), seed).p <= 0.05)
        planned.append(share)
    assert 0.1 < np.mean(planned) < 0.7
    assert 0.7 <= np.mean(found) <= 0.95, (np.mean(found), np.mean(planned))


def test_nothing_is_detectable_among_too_few():
    rng, train, held_out = parts(held_out=2)
    found = m.memorisation(train, held_out, gaussian(rng, 2))
    assert found.exact.detectable == 1
    assert found.three_sample.statistic is None
    assert json.loads(json.dumps(found.as_dict()))["three_sample"]["counted"] == 0


def test_rank_scores_are_those_of_mann_and_whitney():
    rng = np.random.default_rng(0)
    for a, b in ((rng.normal(size=30), rng.normal(0.3, size=21)), (rng.integers(0, 4, 30), rng.integers(0, 5, 21))):
        z = m.rank_score(torch.tensor(a, dtype=torch.float64), torch.tensor(b, dtype=torch.float64))
        theirs = mannwhitneyu(a, b, alternative="less", method="asymptotic", use_continuity=False)
        assert m._normal(z) == pytest.approx(theirs.pvalue, rel=1e-9)
        assert np.sign(z) == np.sign(theirs.statistic - 30 * 21 / 2)
    assert m.rank_score(torch.zeros(5), torch.zeros(4)) == 0


def test_the_three_sample_statistic_averages_cells_by_their_share_of_held_out_rows():
    """Three far clusters are the cells, whatever the seed; scipy ranks each of them."""
    rng = np.random.default_rng(0)
    centres = 100 * np.eye(3)

    def draw(*counts):
        return np.concatenate([c + rng.normal(size=(n, 3)) for c, n in zip(centres, counts, strict=True)])

    train, held_out, draws = draw(90, 60, 50), draw(80, 60, 40), draw(100, 50, 30)
    draws[:60] = train[:60]
    found = m.three_sample(train, held_out, draws, cells=3)
    scores, weights = [], []
    for centre in centres:
        t, h, x = (s[np.abs(s - centre).max(1) < 20] for s in (train, held_out, draws))
        far = [np.sqrt(((s[:, None] - t) ** 2).sum(2)).min(1) for s in (x, h)]
        u = mannwhitneyu(*far).statistic
        n = len(x) * len(h)
        both = np.concatenate(far)
        ties = sum(c**3 - c for c in np.unique(both, return_counts=True)[1]) / (len(both) * (len(both) - 1))
        scores.append((u - n / 2) / np.sqrt(n / 12 * (len(both) + 1 - ties)))
        weights.append(len(h) / len(held_out))
    np.testing.assert_allclose(found.cells, sorted(scores))
    assert found.statistic.estimate.value == pytest.approx(np.dot(weights, scores))
    assert found.counted == pytest.approx(1)
    assert found.worst < 1e-3


def test_cells_that_draws_never_visit_do_not_count():
    rng = np.random.default_rng(0)
    two = np.concatenate([gaussian(rng, 200, 2), 50 + gaussian(rng, 200, 2)])
    found = m.three_sample(two, two + rng.normal(size=two.shape), gaussian(rng, 200, 2), cells=2)
    assert len(found.cells) == 1
    assert found.counted == pytest.approx(0.5)


def test_copies_in_one_region_show_in_its_cell():
    """The average over cells dilutes them; the lowest does not."""
    rng = np.random.default_rng(0)
    regions = [gaussian(rng, 900, 2) + 50 * np.array([k % 3, k // 3]) for k in range(6)]
    train, held_out, draws = (np.concatenate([r[s] for r in regions]) for s in np.split(np.arange(900), 3))
    draws[:300] = train[:300]
    found = m.three_sample(train, held_out, draws, cells=6)
    assert found.worst < 1e-6
    assert found.cells[0] < -10 < found.cells[1]


def test_distances_to_the_closest_training_row():
    _, train, held_out = parts(train=200, held_out=200)
    found = m.closest(train, held_out, train[:100])
    apart = np.sqrt(((train[:, None] - train) ** 2).sum(2)) + np.diag(np.full(200, np.inf))
    assert found["training"].value == pytest.approx(np.median(apart.min(1)), rel=0.01)
    assert found["draws"].value == 0
    assert found["held-out"].low < found["training"].value < found["held-out"].high
    assert m.closest(np.concatenate([train, train]), held_out, train)["training"].value == 0


def test_bad_features_are_refused():
    rng, train, held_out = parts()
    with pytest.raises(DataError, match="draws, row 1"):
        m.memorisation(train, held_out, np.array([[0.0] * 8, [np.nan] * 8]))
    with pytest.raises(DataError, match="draws has 3 features"):
        m.memorisation(train, held_out, gaussian(rng, 5, 3))
    with pytest.raises(UsageError, match="different rows"):
        m.memorisation(np.zeros((5, 8)), held_out, held_out)
    with pytest.raises(UsageError, match="k=0"):
        m.nearest(held_out, train, 0)
    with pytest.raises(UsageError, match="needs 601"):
        m.nearest(held_out, train, 601)


def test_the_same_seed_gives_the_same_figures_and_progress_is_told():
    rng, train, held_out = parts()
    told = []
    draws = planted(rng, train, 0.1)
    first = m.memorisation(train, held_out, draws, "a space", 5, lambda *step: told.append(step))
    assert first == m.memorisation(train, held_out, draws, "a space", 5)
    assert told == [("looking for copies", k, 4) for k in range(1, 5)]
    assert first.near.draws.base_measure == first.distances["draws"].base_measure == "a space"
    assert json.loads(json.dumps(first.as_dict()))["alarm"] is True


@pytest.mark.parametrize("scale", [1.0, 1e-6, 1e25])
def test_the_quick_search_finds_what_all_distances_say(scale):
    """Rows around a far middle, with an outlier, a copy, a copy with a little noise, and bits, which tie nearly all."""
    rng = np.random.default_rng(0)
    among = rng.normal(size=(500, 7)) + 1e3
    among[3] += 1e5
    x = np.concatenate([among[:20], among[20:40] + 1e-9 * rng.normal(size=(20, 7)), rng.normal(size=(20, 7)) + 1e3])
    for a, b in ((x * scale, among * scale), (rng.integers(0, 2, (50, 6)) * 1.0, rng.integers(0, 2, (300, 6)) * 1.0)):
        truth = np.sqrt(((a[:, None] - b) ** 2).sum(2))
        for k in (1, 2, 5):
            found = m.nearest(a, b, k)
            assert found.distances == pytest.approx(np.sort(truth, 1)[:, :k], rel=1e-12, abs=0)
            assert np.take_along_axis(truth, found.rows, 1) == pytest.approx(found.distances, rel=1e-12, abs=0)
            assert all(len(set(row)) == k for row in found.rows)


def test_the_nearest_of_all_rows_does_not_hang_on_which_are_training_rows():
    """Numbers, and bits with ties everywhere: the same row whichever of the real ones are called training rows."""
    rng = np.random.default_rng(0)
    for real, x in (
        (rng.normal(size=(200, 3)), rng.normal(size=(80, 3))),
        (rng.integers(0, 2, (200, 5)) * 1.0, rng.integers(0, 2, (80, 5)) * 1.0),
    ):
        found = []
        for _ in range(4):
            order = rng.permutation(200)
            known = m._Known.of(real[order[:120]], real[order[120:]], x)
            found.append(known.distinct[known.nearest_real()].numpy())
        truth = ((x[:, None] - real) ** 2).sum(2).min(1)
        assert ((x - found[0]) ** 2).sum(1) == pytest.approx(truth)
        assert all((other == found[0]).all() for other in found)
