"""k-means: scikit-learn's from equal centres, its inertia, mini-batches, and the density that it stands for."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats
from sklearn import cluster
from sklearn.datasets import load_digits, load_iris

import reverie
from reverie import KMeans
from reverie.errors import DataError
from reverie.learning import lloyd
from reverie.random import Random

DIGITS = load_digits().data


def blobs(n: int = 300, seed: int = 0) -> np.ndarray:
    """Four clusters whose columns have different scales, in no particular unit."""
    rng = np.random.default_rng(seed)
    means = np.array([[0, 0, 0], [80, 0, 2], [0, 90, -2], [70, 80, 0]])
    return 500 + means[rng.integers(0, 4, n)] + rng.normal(size=(n, 3)) * [10, 12, 1]


def peer(init: np.ndarray, iterations: int, x: np.ndarray, tol: float = 0.0) -> cluster.KMeans:
    return cluster.KMeans(len(init), init=init, n_init=1, max_iter=iterations, tol=tol).fit(x)


def by_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    """The path that a GPU takes."""
    monkeypatch.setattr(lloyd, "_iteration", None)


@pytest.mark.parametrize("path", ["scikit-learn", "torch"])
@pytest.mark.parametrize("x", [blobs(), DIGITS, load_iris().data], ids=["blobs", "digits", "iris"])
@pytest.mark.filterwarnings("ignore:Number of distinct clusters")
def test_scikit_learn_s_from_equal_centres(x, path, monkeypatch):
    """Centres, labels, distances and inertia at convergence, in the data's own units."""
    if path == "torch":
        by_torch(monkeypatch)
    training = KMeans(8, tol=0.0, device="cpu").begin(x)
    model, init = training.model, training.model.cluster_centers_
    training.run()
    model.end(training)
    wanted = peer(init, 300, x)
    np.testing.assert_allclose(model.cluster_centers_, wanted.cluster_centers_, rtol=1e-9, atol=1e-9)
    assert model.inertia_ == pytest.approx(wanted.inertia_, rel=1e-9)
    np.testing.assert_array_equal(model.labels_, wanted.labels_)
    np.testing.assert_array_equal(model.predict(x), wanted.predict(x))
    np.testing.assert_allclose(model.transform(x), wanted.transform(x), rtol=1e-7, atol=1e-7)
    assert model.n_iter_ == wanted.n_iter_


@pytest.mark.parametrize("iterations", [1, 3])
def test_an_epoch_is_an_iteration(iterations):
    x = blobs()
    training = KMeans(5, epochs=iterations, tol=0.0, device="cpu").begin(x)
    init = training.model.cluster_centers_
    training.run()
    wanted = peer(init, iterations, x)
    np.testing.assert_allclose(training.model.cluster_centers_, wanted.cluster_centers_, rtol=1e-9)


def test_it_stops_where_scikit_learn_does():
    """The same tolerance, 10⁻⁴ of the mean variance, by the same count of iterations."""
    training = KMeans(20, device="cpu").begin(DIGITS)
    init = training.model.cluster_centers_
    training.run()
    assert training.epoch == peer(init, 300, DIGITS, tol=1e-4).n_iter_
    assert training.history[-1]["movement"] <= 1e-4 < training.history[-2]["movement"]


@pytest.mark.parametrize("kind", [np.float32, np.float64, np.uint8])
def test_the_inertia_never_rises_and_is_the_sum_of_squares(kind):
    x = DIGITS.astype(kind)
    model = KMeans(10, tol=0.0, device="cpu").fit(x)
    found = np.array([row["train_inertia"] for row in model.history_])
    assert (np.diff(found) <= 1e-6 * found[:-1]).all()
    distances = ((DIGITS[:, None] - model.cluster_centers_) ** 2).sum(2).min(1)
    assert model.inertia_ == pytest.approx(distances.sum(), rel=1e-6)
    assert found[-1] == pytest.approx(distances.mean(), rel=1e-6), "at rest both are the same"
    np.testing.assert_allclose(model.weights_, np.bincount(model.labels_, minlength=10) / len(x), rtol=1e-9)


def test_five_seeds_are_as_good_as_scikit_learn_s():
    """Mean inertia over five seeds with 40 clusters on the digits: at most 1 % above; single runs differ by 1 %."""
    ours = [KMeans(40, seed=seed, device="cpu").fit(DIGITS).inertia_ for seed in range(5)]
    theirs = [cluster.KMeans(40, n_init=1, random_state=seed).fit(DIGITS).inertia_ for seed in range(5)]
    assert np.mean(ours) < 1.01 * np.mean(theirs)


def test_restarts_pay():
    one = np.mean([KMeans(10, seed=seed, device="cpu").fit(DIGITS).inertia_ for seed in range(5)])
    many = np.mean([KMeans(10, restarts=5, seed=seed, device="cpu").fit(DIGITS).inertia_ for seed in range(5)])
    assert many < one


def test_plus_plus_prefers_far_rows():
    """Of two clusters of 99 and 1 rows, the second centre is the lone row almost always."""
    x = torch.cat([torch.randn(99, 2, generator=torch.Generator().manual_seed(0)), torch.tensor([[100.0, 100.0]])])
    for seed in range(20):
        centres = lloyd.plus_plus(x, 2, Random(seed))
        assert (centres == 100).all(1).any()
    assert len(lloyd.plus_plus(x, 100, Random(0)).unique(dim=0)) == 100


@pytest.mark.parametrize("path", ["scikit-learn", "torch"])
def test_a_cluster_without_rows_gets_the_farthest(path, monkeypatch):
    """Two centres in one place, one far from everything: all own rows after an iteration, as scikit-learn's do."""
    if path == "torch":
        by_torch(monkeypatch)
    x = torch.from_numpy(blobs())
    centres = torch.stack([x[0], x[0], x.mean(0), x.mean(0) + 1e6])
    sizes, sums = lloyd.assigned(x, centres)
    assert (sizes > 0).all()
    assert float(sizes.sum()) == len(x)
    torch.testing.assert_close(sums.sum(0), x.sum(0))
    wanted = np.sort(peer(centres.numpy(), 1, x.numpy()).cluster_centers_, 0)
    np.testing.assert_allclose(np.sort((sums / sizes[:, None]).numpy(), 0), wanted, rtol=1e-9)


def test_both_paths_are_one_algorithm(monkeypatch):
    first = KMeans(12, device="cpu").fit(DIGITS)
    by_torch(monkeypatch)
    second = KMeans(12, device="cpu").fit(DIGITS)
    assert first.n_iter_ == second.n_iter_
    np.testing.assert_allclose(first.cluster_centers_, second.cluster_centers_, rtol=1e-9, atol=1e-9)


def test_blocks_of_rows_do_not_matter(monkeypatch):
    x, centres = torch.from_numpy(DIGITS), torch.from_numpy(DIGITS[:7])
    owner, distances = lloyd.nearest(x, centres)
    sizes, sums = lloyd.totals(x, owner, 7)
    total = lloyd.squares(x)
    monkeypatch.setattr(lloyd, "_CACHED", 1000)
    again = lloyd.nearest(x, centres)
    assert torch.equal(again[0], owner)
    torch.testing.assert_close(again[1], distances)
    torch.testing.assert_close(lloyd.totals(x, owner, 7), (sizes, sums))
    torch.testing.assert_close(lloyd.squares(x), total)
    torch.testing.assert_close(total, x.square().sum())


# Mini-batches ---------------------------------------------------------------------------------------------------------


def test_a_partial_fit_moves_centres_to_the_mean_of_all_they_ever_owned():
    x = blobs(400)
    model = KMeans(4, device="cpu").partial_fit(x[:100])
    sizes, centres = model.buffers_["statistics.sizes"].numpy().copy(), model.cluster_centers_.copy()
    owner = model.predict(x[100:200])
    model.partial_fit(x[100:200])
    more = np.bincount(owner, minlength=4)
    np.testing.assert_array_equal(model.buffers_["statistics.sizes"].numpy(), sizes + more)
    moved = [(sizes[k] * centres[k] + x[100:200][owner == k].sum(0)) / (sizes + more)[k] for k in range(4)]
    np.testing.assert_allclose(model.cluster_centers_, moved, rtol=1e-9)
    for part in np.split(x[200:], 4):
        model.partial_fit(part)
    whole = KMeans(4, restarts=5, device="cpu").fit(x)
    assert ((x[:, None] - model.cluster_centers_) ** 2).sum(2).min(1).sum() < 1.1 * whole.inertia_
    assert model.n_iter_ == 6
    assert model.labels_.shape == (50,)


def test_forgetting_follows_the_data():
    x = blobs()
    model = KMeans(4, device="cpu").fit(x)
    for _ in range(20):
        model.partial_fit(x + 15, forget=0.5)
    anew = KMeans(4, restarts=5, device="cpu").fit(x + 15)
    np.testing.assert_allclose(np.sort(model.cluster_centers_, 0), np.sort(anew.cluster_centers_, 0), atol=5)


# As a density ---------------------------------------------------------------------------------------------------------


def test_the_density_is_an_isotropic_mixture():
    """By SciPy, with σ² = inertia / (n d) and the shares as weights, in the data's own units."""
    x = blobs()
    model = KMeans(4, tol=0.0, floor=1e-12, device="cpu").fit(x)
    variance = model.inertia_ / x.size
    parts = [stats.multivariate_normal(c, variance * np.eye(3)) for c in model.cluster_centers_]
    wanted = np.log(sum(pi * part.pdf(x) for pi, part in zip(model.weights_, parts, strict=True)))
    np.testing.assert_allclose(model.score_samples(x), wanted, atol=1e-7)
    drawn = model.sample(20_000)
    sd = np.sqrt(variance)
    cdf = [stats.norm(c[0], sd).cdf for c in model.cluster_centers_]
    found = stats.kstest(drawn[:, 0], lambda t: sum(pi * f(t) for pi, f in zip(model.weights_, cdf, strict=True)))
    assert found.pvalue > 0.001


def test_the_variance_and_shares_are_the_likeliest_given_who_owns_whom():
    """Nudged either way, the complete-data log-likelihood falls."""
    x = blobs()
    model = KMeans(4, tol=0.0, floor=1e-12, device="cpu").fit(x)
    rows, owner = model._placed(x), torch.from_numpy(model.labels_).long()

    def complete(**moved: torch.Tensor) -> float:
        twin = model.with_params({**model.params_, **moved})
        pi = twin.params_["log_pi"].log_softmax(0)
        return float((pi + twin.unit.log_likelihoods(rows, twin.eta))[torch.arange(len(rows)), owner].sum())

    best = complete()
    for name, p in model.params_.items():
        for step in (-1e-2, 1e-2):
            nudged = p.clone()
            nudged.view(-1)[0] += step
            assert complete(**{name: nudged}) < best


def test_levels_are_clustered_as_they_are_and_dequantised_for_the_density():
    """Centres and inertia are those of the same numbers as floats; draws are whole again; the noise widens σ²."""
    x = DIGITS.astype(np.uint8)
    levels, floats = KMeans(10, device="cpu").fit(x), KMeans(10, device="cpu").fit(DIGITS.astype(np.float32))
    np.testing.assert_allclose(levels.cluster_centers_, floats.cluster_centers_, atol=1e-4)
    assert levels.inertia_ == pytest.approx(floats.inertia_, rel=1e-5)
    scale = float(levels.buffers_["scale"][0])
    d = levels.params_["c"].shape[1]
    wanted = (levels.inertia_ / (len(x) * d) + 1 / 12) / scale**2 + levels.floor
    assert float(levels.params_["log_var"].exp()) == pytest.approx(wanted, rel=1e-5)
    drawn = levels.sample(50)
    assert drawn.dtype == np.uint8
    assert "uniform noise" in levels.base_measure
    known = np.where(np.arange(64) < 32, DIGITS[:20], np.nan)
    np.testing.assert_array_equal(levels.impute(known)[:, :32], x[:20, :32])
    fractions = KMeans(10, device="cpu").fit(DIGITS / 16)
    np.testing.assert_allclose(fractions.cluster_centers_ * 16, levels.cluster_centers_, atol=1e-4)
    volume = d * np.log(16)
    assert fractions.score(DIGITS / 16) - volume == pytest.approx(levels.score(x), abs=1e-3)


def test_units_do_not_matter():
    """The same clusters in other units, and a density that differs by the volume of the change alone."""
    x = blobs()
    here, there = KMeans(4, device="cpu").fit(x), KMeans(4, device="cpu").fit(x * 1e-3 - 7)
    np.testing.assert_allclose(there.cluster_centers_, here.cluster_centers_ * 1e-3 - 7, rtol=1e-9)
    np.testing.assert_allclose(there.score_samples(x * 1e-3 - 7), here.score_samples(x) - 3 * np.log(1e-3), atol=1e-2)


# Difficult data -------------------------------------------------------------------------------------------------------

HARD = {
    "duplicates": (np.repeat(np.arange(3.0), 20)[:, None] * [1, 2], 5),
    "as many clusters as rows": (blobs(6), 6),
    "a constant column": (np.column_stack([blobs(50), np.ones(50)]), 3),
    "a huge scale": (blobs(50) * 1e150, 3),
    "a tiny scale": (blobs(50) * 1e-150, 3),
    "scales apart": (blobs(50) * [1e-100, 1, 1e100], 3),
    "an outlier": (np.vstack([blobs(50), [[1e9, 0, 0]]]), 3),
    "truth values": (np.random.default_rng(0).random((50, 4)) < 0.3, 3),
}


@pytest.mark.parametrize("path", ["scikit-learn", "torch"])
@pytest.mark.parametrize("name", HARD)
def test_difficult_data_give_finite_answers(name, path, monkeypatch):
    if path == "torch":
        by_torch(monkeypatch)
    x, clusters = HARD[name]
    model = KMeans(clusters, device="cpu").fit(x)
    assert all(p.isfinite().all() for p in model.params_.values())
    assert np.isfinite(model.score_samples(x)).all()
    assert np.isfinite(model.cluster_centers_).all()
    assert np.isfinite(model.transform(x)).all()
    assert np.isfinite(model.sample(20)).all()
    assert model.weights_.sum() == pytest.approx(1)
    assert set(model.predict(x)) <= set(range(clusters))


def test_what_cannot_be_learned_from_is_refused():
    for x, why in (
        ([[1.0, 2.0]], "only one example"),
        (np.ones((9, 2)), "none of the real-valued"),
        (blobs(3), "too few for clusters=4"),
        (np.where(np.eye(5) > 0, np.nan, np.arange(25.0).reshape(5, 5)), "NaN"),
    ):
        with pytest.raises(DataError, match=why):
            KMeans(4, device="cpu").fit(x)


def test_saved_with_all_but_its_labels(tmp_path):
    model = KMeans(4, device="cpu").fit(blobs())
    model.save(tmp_path / "m")
    again = reverie.load(tmp_path / "m")
    assert again.inertia_ == model.inertia_
    np.testing.assert_array_equal(again.cluster_centers_, model.cluster_centers_)
    np.testing.assert_array_equal(again.predict(blobs()), model.labels_)
    assert not hasattr(again, "labels_")
    assert model.fit_predict(blobs()).shape == (300,)


def test_pictures_are_the_centres():
    x = DIGITS.reshape(-1, 8, 8)
    model = KMeans(4, device="cpu").fit(x)
    (picture,) = model.pictures(x, Random())
    order = np.argsort(-model.weights_)
    np.testing.assert_allclose(picture.images.reshape(4, -1), model.cluster_centers_[order], rtol=1e-5, atol=1e-5)
    assert f"{model.weights_.max():.1%}" in picture.caption


def test_rows_too_far_to_square_are_refused():
    x = np.random.default_rng(0).normal(size=(50, 2))
    model = KMeans(2, device="cpu").fit(x)
    far = x[:2].copy()
    far[1, 0] = 1e200
    for verb in (model.predict_proba, model.predict, model.transform):
        with pytest.raises(DataError, match="row 1, column 0 lies"):
            verb(far)
