"""The hidden Markov model against sums over all paths, closed forms and hmmlearn."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
import torch

from reverie import inference, storage
from reverie.errors import CorruptFileError, DataError, DivergedError, UsageError
from reverie.models.hmm import HMM
from reverie.models.naive_bayes import NaiveBayes
from reverie.random import Random
from reverie.units import Categorical

QUICK = {"epochs": 4, "tol": 0.0, "restarts": 1, "device": "cpu"}


def reals(lengths=(7, 3, 12, 5, 9), D=2, seed=0):
    """Two well separated clouds, in runs."""
    rng = np.random.default_rng(seed)
    parts = []
    for T in lengths:
        z = (np.cumsum(rng.uniform(size=T) < 0.3) + rng.integers(2)) % 2
        parts.append(6 * z[:, None] + rng.normal(size=(T, D)) + 20)
    return parts


def words(n=60, seed=0):
    """Codes 0 to 2 that alternate, of unequal length."""
    rng = np.random.default_rng(seed)
    return [(np.arange(rng.integers(1, 7)) + rng.integers(3)) % 3 for _ in range(n)]


def mixed(lengths=(6, 4, 5, 8), seed=0):
    """A real column, a bit and a code of three."""
    rng = np.random.default_rng(seed)
    return [
        np.column_stack([rng.normal(size=T), rng.integers(0, 2, T), rng.integers(0, 3, T)]).astype(float)
        for T in lengths
    ]


CASES: dict[str, tuple[Any, dict[str, Any]]] = {
    "diagonal": (reals(), {}),
    "full": (reals(), {"covariance": "full"}),
    "ends": (reals(), {"ends": True}),
    "codes": (words(), {}),
    "codes without ends": (words(), {"ends": False}),
    "mixed": (mixed(), {"visible": ("gaussian", "bernoulli", "categorical")}),
}
each_case = pytest.mark.parametrize(("X", "arguments"), CASES.values(), ids=CASES.keys())


def fitted(X, states=3, **arguments):
    return HMM(states, **{**QUICK, **arguments}).fit(X)


def by_paths(model, x, ended=True):
    """Every path of one sequence and its log p(z, x) in the data's own units, from the model's parameters alone."""
    seen = model._encoded([x])
    T, S = len(seen.rows), model.states
    b = torch.stack([model.unit.log_likelihoods(seen.rows, eta.unsqueeze(0))[:, 0] for eta in model.params_["eta"]], 1)
    A, pi = (torch.from_numpy(p).log() for p in (model.transmat_, model.startprob_))
    paths = torch.tensor(list(itertools.product(range(S), repeat=T)))
    log_p = pi[paths[:, 0]] + b[torch.arange(T), paths].sum(1) + A[paths[:, :-1], paths[:, 1:]].sum(1)
    if model.with_ends:
        end = torch.from_numpy(model.endprob_)
        log_p += torch.log1p(-end)[paths[:, :-1]].sum(1) + (end.log()[paths[:, -1]] if ended else 0)
    return paths, log_p - model._volume_of(seen)


def with_gaps(X, seed=3):
    rng = np.random.default_rng(seed)
    found = [np.where(rng.uniform(size=x.shape) < 0.3, np.nan, x) for x in X]
    found[1][1] = np.nan
    return found


# Likelihood and hidden states -----------------------------------------------------------------------------------------


@each_case
@pytest.mark.parametrize("gaps", [False, True])
def test_everything_is_a_sum_over_paths(X, arguments, gaps):
    """Log-likelihood, posteriors and likeliest paths, also with values and whole steps missing."""
    model = fitted(X, **arguments)
    X = with_gaps(X) if gaps else X
    short = [x[:6] for x in X[:4]]
    for k, x in enumerate(short):
        paths, joint = by_paths(model, x)
        assert model.score_samples(short)[k] == pytest.approx(float(joint.logsumexp(0)), abs=1e-9)
        weight = joint.softmax(0)
        gamma = torch.einsum("p,pts->ts", weight, torch.nn.functional.one_hot(paths, 3).double())
        np.testing.assert_allclose(model.predict_proba(short)[k], gamma, atol=1e-9)
        np.testing.assert_array_equal(model.predict(short)[k], gamma.argmax(1))
        np.testing.assert_array_equal(model.decode(short)[k], paths[joint.argmax()])


@pytest.mark.parametrize("covariance", ["diagonal", "full"])
def test_equal_parameters_have_the_likelihood_and_paths_of_hmmlearn(covariance):
    hmmlearn = pytest.importorskip("hmmlearn.hmm")
    X = reals((30, 50, 21), D=4)
    model = fitted(X, covariance=covariance)
    peer = hmmlearn.GaussianHMM(3, "diag" if covariance == "diagonal" else "full")
    peer.startprob_, peer.transmat_, peer.means_, peer.covars_ = (
        model.startprob_,
        model.transmat_,
        model.means_,
        model.covars_,
    )
    rows, lengths = np.concatenate(X), [len(x) for x in X]
    assert model.score_samples(X).sum() == pytest.approx(peer.score(rows, lengths), abs=1e-6)
    np.testing.assert_allclose(np.concatenate(model.predict_proba(X)), peer.predict_proba(rows, lengths), atol=1e-8)
    np.testing.assert_array_equal(np.concatenate(model.decode(X)), peer.decode(rows, lengths)[1])


def test_codes_have_the_likelihood_of_hmmlearn():
    hmmlearn = pytest.importorskip("hmmlearn.hmm")
    model = fitted(words(), ends=False)
    peer = hmmlearn.CategoricalHMM(3)
    peer.startprob_, peer.transmat_, peer.emissionprob_ = model.startprob_, model.transmat_, model.emissionprob_
    found = peer.score(np.concatenate(words())[:, None], [len(x) for x in words()])
    assert model.score_samples(words()).sum() == pytest.approx(found, abs=1e-6)


def test_words_of_all_lengths_have_probability_one():
    """All 3 + 9 + … words of up to nine letters, and the rest."""
    model = fitted(words(), 2)
    everything = [np.array(w) for T in range(1, 10) for w in itertools.product(range(3), repeat=T)]
    p = np.exp(model.score_samples(everything))
    _, going_on = inference.forecast(torch.from_numpy(model.startprob_), model.log_transition, 9)
    assert p.sum() + float(going_on[-1]) == pytest.approx(1, abs=1e-9)
    assert p.sum() > 0.9


def test_the_note_says_nats_per_step():
    model = fitted(words())
    found = model.log_likelihood(words())
    steps = sum(map(len, words()))
    assert found.kind == "exact"
    assert f"{model.score_samples(words()).sum() / steps:.3f} nats per step" in found.notes[0]
    assert found.value == pytest.approx(model.score(words()))


# Learning -------------------------------------------------------------------------------------------------------------


def log_prior(model):
    """Of the Dirichlet priors, up to a constant; floors of variances are the limit of no prior."""
    s = model.smoothing
    found = s * (np.log(model.startprob_).sum() + np.log(model.transmat_).sum())
    if model.with_ends:
        found += s * (np.log(model.endprob_).sum() + np.log1p(-model.endprob_).sum())
    if isinstance(model.unit, Categorical):
        found += s * np.log(model.emissionprob_).sum()
    return found


@pytest.mark.parametrize("case", ["diagonal", "full", "ends", "codes"])
def test_an_iteration_never_lowers_likelihood_times_prior(case):
    X, arguments = CASES[case]
    model = HMM(3, **{**QUICK, **arguments, "epochs": 1, "floor": 1e-12})
    training = model.begin(X)
    eta = model.params_["eta"]
    eta.lerp_(eta.mean(0), 0.5)  # away from where k-means put it
    values = []
    for _ in range(15):
        training.epoch = 0
        training.run()
        values.append(model.score_samples(X).sum() + log_prior(model))
    assert np.diff(values).min() > -1e-7
    assert values[-1] > values[0]


def test_an_iteration_is_the_closed_form():
    """Shares of the posteriors' sums over all paths, computed by hand."""
    X = reals((5, 4, 6))
    model = fitted(X, 2, smoothing=0.5)
    initial, transitions, size = np.zeros(2), np.zeros((2, 2)), np.zeros(2)
    first, second = np.zeros((2, 2)), np.zeros((2, 2))
    for x in X:
        paths, joint = by_paths(model, x)
        for path, w in zip(paths.numpy(), joint.softmax(0).numpy(), strict=True):
            initial[path[0]] += w
            np.add.at(transitions, (path[:-1], path[1:]), w)
            np.add.at(size, path, w)
            np.add.at(first, path, w * x)
            np.add.at(second, path, w * x**2)
    statistics, _ = model.expected_statistics(model._encoded(X))
    model.params_ = model.maximise(statistics)
    np.testing.assert_allclose(model.startprob_, (initial + 0.5) / (initial + 0.5).sum())
    np.testing.assert_allclose(model.transmat_, (transitions + 0.5) / (transitions + 0.5).sum(1, keepdims=True))
    mean = first / size[:, None]
    np.testing.assert_allclose(model.means_, mean)
    floor = 1e-6 * model.buffers_["scale"].numpy() ** 2
    np.testing.assert_allclose(model.covars_, second / size[:, None] - mean**2 + floor, rtol=1e-7)


def test_what_a_chain_was_is_found_again():
    """Means, transitions and starts of 400 sequences, up to the states' names."""
    rng = np.random.default_rng(0)
    A = np.array([[0.8, 0.2, 0.0], [0.0, 0.7, 0.3], [0.5, 0.0, 0.5]])
    z = inference.sample_states(
        torch.tensor([1.0, 0, 0]).log(), torch.from_numpy(A).log(), torch.full((400,), 25), Random(1)
    ).view(400, 25)
    X = [3.0 * path.numpy()[:, None] + rng.normal(size=(25, 1)) for path in z]
    model = HMM(3, device="cpu").fit(X)
    order = model.means_[:, 0].argsort()
    np.testing.assert_allclose(model.means_[order, 0], [0, 3, 6], atol=0.1)
    np.testing.assert_allclose(model.covars_[order, 0], 1, atol=0.1)
    np.testing.assert_allclose(model.transmat_[np.ix_(order, order)], A, atol=0.04)
    np.testing.assert_allclose(model.startprob_[order], [1, 0, 0], atol=0.02)
    assert model.n_iter_ < 200, "it stops where nothing changes any more"


def test_known_states_are_counts():
    """If every state is known, one iteration counts: no hidden variable is left."""
    X = reals()
    y = [(x[:, 0] > 23).astype(int) for x in X]
    model = HMM(2, **{**QUICK, "epochs": 1}).fit(X, y)
    counts = sum(np.array([[((p[:-1] == i) & (p[1:] == j)).sum() for j in (0, 1)] for i in (0, 1)]) for p in y) + 0.1
    np.testing.assert_allclose(model.transmat_, counts / counts.sum(1, keepdims=True))
    rows, states = np.concatenate(X), np.concatenate(y)
    np.testing.assert_allclose(model.means_, [rows[states == k].mean(0) for k in (0, 1)])


def test_a_state_whose_column_is_always_missing_learns_the_others():
    """Every state known, so that classes of naive Bayes are the same model of a step: equal where there are values."""
    rng = np.random.default_rng(0)
    y = [(np.arange(40) // 5 + k) % 2 for k in range(3)]
    X = [np.column_stack([10.0 * z - 5 + rng.normal(size=40), rng.normal(3, 2, 40)]) for z in y]
    for x, z in zip(X, y, strict=True):
        x[z == 0, 1] = np.nan
    model = HMM(2, **{**QUICK, "epochs": 1}).fit(X, y)
    rows, states = np.concatenate(X), np.concatenate(y)
    peer = NaiveBayes(device="cpu").fit(rows, states)
    known = np.array([[True, False], [True, True]])
    np.testing.assert_allclose(model.means_[known], peer.means_[known], rtol=1e-6)  # float32
    variances = [[np.nanvar(rows[states == k, d]) if known[k, d] else 0.0 for d in (0, 1)] for k in (0, 1)]
    floor = 1e-6 * model.buffers_["scale"].numpy() ** 2
    np.testing.assert_allclose(model.covars_[known], (variances + floor)[known], rtol=1e-7)
    for z in (0, 1):  # the same densities too: those of one step, of which the state is known
        step = model.unit.log_likelihoods(model._encoded([X[0]]).rows, model.params_["eta"])[y[0] == z, z]
        wanted = peer.score_samples(X[0][y[0] == z], y[0][y[0] == z]) - np.log(peer.class_prior_[z])
        volume = model._volume_of(model._encoded([X[0]]).rows)[y[0] == z]
        np.testing.assert_allclose(step - volume, wanted, rtol=1e-9)


def test_states_that_are_known_in_part_name_the_states():
    """A tenth of the steps: the states are then called what they are known to be, in every start."""
    X = reals((80, 90, 70))
    truth = [(x[:, 0] > 23).astype(int) for x in X]
    rng = np.random.default_rng(0)
    for flip in (0, 1):
        y = [np.where(rng.uniform(size=len(z)) < 0.1, z ^ flip, -1) for z in truth]
        model = HMM(2, device="cpu").fit(X, y)
        assert np.mean([(p == z ^ flip).mean() for p, z in zip(model.predict(X), truth, strict=True)]) > 0.98
    with pytest.raises(DataError, match="y of sequence 1 must hold 90 integers, the states 0 to 1 and -1"):
        HMM(2).fit(X, [truth[0], truth[1] + 5, truth[2]])
    with pytest.raises(DataError, match="y holds the states of 2 sequences, but there are 3"):
        HMM(2).fit(X, truth[:2])
    for wrong in (5, [1, [2, 3]], [5, 5, 5], "abc"):
        with pytest.raises(DataError, match="y "):
            HMM(2).fit(X, wrong)


@each_case
def test_parameters_stay_finite_whatever_is_missing(X, arguments):
    """More states than there is anything to tell apart, and gaps: no state is visited often, and none is NaN."""
    for data in (X, with_gaps(X), [np.concatenate([x, x]) for x in X]):
        model = fitted(data, 9, epochs=30, **arguments)
        assert all(p.isfinite().all() for p in model.params_.values())
        assert np.isfinite(model.score_samples(data)).all()


def test_gaps_are_learned_around():
    """A third of the values missing, a cloud each: the means are those of the clouds."""
    X = with_gaps(reals((80, 120, 100)))
    model = HMM(2, device="cpu").fit(X)
    order = model.means_[:, 0].argsort()
    np.testing.assert_allclose(model.means_[order], [[20, 20], [26, 26]], atol=0.4)


def test_several_starts_are_at_least_as_good_as_the_first():
    X = words(200)
    values = []
    for restarts in (1, 6):
        model = HMM(3, restarts=restarts, epochs=1, device="cpu")
        training = model.begin(X)
        values.append(float(model.expected_statistics(training.data)[1].sum()))
    assert values[1] >= values[0]


def test_streams_add_up():
    """Two halves in turn leave the statistics of both, each under the parameters of its time."""
    X = reals((30, 20, 25, 40))
    model = HMM(2, device="cpu").partial_fit(X[:2])
    before = {k: b.clone() for k, b in model.buffers_.items() if k.startswith("statistics.")}
    found, _ = model.expected_statistics(model._encoded(X[2:]))
    model.partial_fit(X[2:])
    for name, s in found.items():
        torch.testing.assert_close(model.buffers_[f"statistics.{name}"], before[f"statistics.{name}"] + s)
    assert float(model.buffers_["statistics.initial"].sum()) == pytest.approx(4)


def test_streams_know_all_their_lengths():
    """Lengths of draws are those of all sequences; ``forget`` drops a share of the earlier ones."""
    short, long = reals((3,) * 20), reals((50,) * 60)
    model = HMM(2, device="cpu").partial_fit(short).partial_fit(long)
    drawn = np.array([len(one) for one in model.sample(2000)])
    assert set(drawn) == {3, 50}
    assert (drawn == 3).mean() == pytest.approx(0.25, abs=5 * math.sqrt(0.25 * 0.75 / 2000))
    model.partial_fit(reals((7,) * 8), forget=0.9)
    np.testing.assert_allclose(model.buffers_["lengths"], [3, 7, 50])
    np.testing.assert_allclose(model.buffers_["length_counts"], [2, 8, 6])
    model.partial_fit(short, forget=1)
    assert {len(one) for one in model.sample(50)} == {3}


@pytest.mark.parametrize("ends", [False, True])
def test_visits_are_those_of_every_step(ends):
    """Also of last ones: shares of the posteriors that the last iteration summed, whatever the lengths."""
    for X in (reals((1,) * 12), reals()):
        model = HMM(2, **{**QUICK, "epochs": 1}, ends=ends)
        training = model.begin(X)
        gamma = np.concatenate(model.predict_proba(X))
        training.run()
        model.end(training)
        chain = model.state_chain(X, 3)
        np.testing.assert_allclose(chain.visits, gamma.mean(0), rtol=1e-9)
        assert [len(path) for path in chain.paths] == [len(x) for x in X[:3]]
    assert [path.shape for path in model.state_chain(X[0]).paths] == [(7,)]


@each_case
def test_a_saved_model_is_the_same_model(X, arguments, tmp_path):
    model = fitted(X, **arguments)
    model.save(tmp_path / "m")
    again = HMM.restored(*storage.read_model(tmp_path / "m"), tmp_path / "m")
    assert again.get_params() == model.get_params()
    np.testing.assert_array_equal(again.score_samples(X), model.score_samples(X))
    assert all(np.array_equal(a, b) for a, b in zip(again.sample(5), model.sample(5), strict=True))
    assert again.partial_fit(X).score(X) == model.partial_fit(X).score(X)


@each_case
def test_a_resumed_training_gives_the_same_bits(X, arguments):
    whole = fitted(X, **arguments)
    training = HMM(3, **{**QUICK, **arguments}).begin(X)
    training.run([lambda event: setattr(training, "stop", "here" if training.epoch == 2 else "")])
    assert training.epoch == 2
    again = HMM(3, **{**QUICK, **arguments})
    resumed = again.begin(X)
    resumed.restore({k: t.clone() for k, t in training.tensors().items()}, training.history)
    resumed.run()
    again.end(resumed)
    assert again.history_ == whole.history_
    assert all(torch.equal(p, again.params_[k]) for k, p in whole.params_.items())
    with pytest.raises(CorruptFileError, match="does not fit this training"):
        HMM(4, **{**QUICK, **arguments}).begin(X).restore(training.tensors(), [])


def test_batches_of_sequences_add_up():
    X = reals((5, 9, 4, 11, 6))
    models = []
    for size in (1, 2, 5):
        model = HMM(2, **QUICK)
        model.batch_size = size
        models.append(model.fit(X))
    for model in models[1:]:
        for name, p in model.params_.items():
            torch.testing.assert_close(p, models[0].params_[name], rtol=1e-9, atol=1e-9)


# Drawing --------------------------------------------------------------------------------------------------------------


@each_case
def test_draws_have_the_form_of_the_data(X, arguments):
    model = fitted(X, **arguments)
    for n in (0, 1, 7):
        x = model.sample(n)
        assert (x.shape, x.dtype) == ((n,), object)
        assert all(one.dtype == X[0].dtype and one.shape[1:] == X[0].shape[1:] and len(one) for one in x)
    assert all(np.array_equal(a, b) for a, b in zip(x, model.sample(7), strict=True))
    assert not all(np.array_equal(a, b) for a, b in zip(x, model.sample(7, seed=1), strict=True))
    assert [len(one) for one in model.sample(3, length=[2, 4, 3])] == [2, 4, 3]
    assert {len(one) for one in model.sample(3, length=6)} == {6}
    assert np.isfinite(model.score_samples(model.sample(20))).all()
    if not model.with_ends:
        assert {len(one) for one in model.sample(50)} <= {len(one) for one in X}


def test_drawn_words_follow_the_model():
    """Frequencies of all words of up to four letters, and of lengths, to five standard errors."""
    model, n = fitted(words(), 2), 20_000
    drawn = model.sample(n)
    counts: dict[tuple[int, ...], int] = {}
    for word in drawn:
        counts[tuple(word.tolist())] = counts.get(tuple(word.tolist()), 0) + 1
    everything = [w for T in range(1, 5) for w in itertools.product(range(3), repeat=T)]
    p = np.exp(model.score_samples([np.array(w) for w in everything]))
    seen = np.array([counts.get(w, 0) for w in everything])
    assert (np.abs(seen - n * p) <= 5 * np.sqrt(n * p * (1 - p)) + 1).all()
    given = model.sample(n, length=2)
    pairs = [w for w in everything if len(w) == 2]
    q = np.exp(model.score_samples([np.array(w) for w in pairs]))
    q /= q.sum()
    seen = np.array([sum((word == w).all() for word in given) for w in pairs])
    assert (np.abs(seen - n * q) <= 5 * np.sqrt(n * q * (1 - q)) + 1).all()


def test_gaps_are_drawn_from_their_distribution_given_the_rest():
    """Of a word with two letters missing, all nine fillings, to five standard errors."""
    model, n = fitted(words(), 3), 20_000
    x = np.array([0.0, np.nan, np.nan, 0.0, 1.0])
    filled = model.impute([x] * n)
    options = [np.array([0, i, j, 0, 1]) for i in range(3) for j in range(3)]
    p = np.exp(model.score_samples(options))
    p /= p.sum()
    seen = np.array([sum((one == option).all() for one in filled) for option in options])
    assert seen.sum() == n
    assert (np.abs(seen - n * p) <= 5 * np.sqrt(n * p * (1 - p)) + 1).all()
    again = model.sample(5, given=x)
    assert all((one[[0, 3, 4]] == [0, 0, 1]).all() for one in again)


@each_case
def test_what_is_known_is_kept(X, arguments):
    model = fitted(X, **arguments)
    gaps = with_gaps(X)
    filled = model.impute(gaps)
    for one, x, gap in zip(filled, X, gaps, strict=True):
        assert np.isfinite(one).all()
        np.testing.assert_allclose(one[~np.isnan(gap)], x[~np.isnan(gap)], rtol=1e-6)


def test_continuations_follow_the_model():
    """Of what may follow two letters, to five standard errors; to the end, and of given length."""
    model, n = fitted(words(), 2), 20_000
    start = [1, 2]
    options = [np.array(start + list(w)) for T in range(4) for w in itertools.product(range(3), repeat=T)]
    going = float(inference.log_likelihood(*model._chain(model._encoded([np.array(start)]), ended=False))[0])
    p = np.exp(model.score_samples(options) - going)
    drawn = model.continue_(np.array(start), n=n)
    assert all((one[:2] == start).all() and one.dtype == options[0].dtype for one in drawn)
    texts = [one.tobytes() for one in drawn]
    seen = np.array([texts.count(option.tobytes()) for option in options])
    assert (np.abs(seen - n * p) <= 5 * np.sqrt(n * p * (1 - p)) + 1).all()
    later = model.continue_(np.array(start), 1, n=n)
    q = np.array(
        [
            math.exp(float(inference.log_likelihood(*model._chain(model._encoded([np.array([*start, k])]), False))[0]))
            for k in range(3)
        ]
    )
    q /= q.sum()
    seen = np.bincount([one[2] for one in later], minlength=3)
    assert (np.abs(seen - n * q) <= 5 * np.sqrt(n * q * (1 - q))).all()


def test_far_ahead_a_forecast_is_the_chain_that_never_ended():
    """After 5,000 steps hardly anything goes on: the states are those of the leading eigenvector, and none is NaN."""
    model = fitted(words(), 3)
    found = model.forecast([words()[0]], 5000)
    assert found.going_on[0, -1] < 1e-300
    value, vector = np.linalg.eig(model.log_transition.exp().numpy().T)
    leading = vector[:, np.abs(value).argmax()].real
    np.testing.assert_allclose(found.states[0, -1], leading / leading.sum(), atol=1e-9)


def test_values_beyond_double_precision_are_refused():
    """Whatever is asked: neither NaN nor a state that nothing speaks for; just below, everything is finite."""
    for arguments in ({}, {"covariance": "full"}, {"ends": True}):
        model = fitted(reals(), **arguments)
        for far in (1e200, -1e308):
            X = [reals()[0], reals()[1].copy()]
            X[1][2, 1] = far
            for ask in (model.score_samples, model.predict_proba, model.decode, model.forecast, model.partial_fit):
                with pytest.raises(DataError, match="sequence 1, step 2, column 1 lies"):
                    ask(X)
            with pytest.raises(DataError, match="sequence 0, step 2, column 1 lies"):
                model.continue_(X[1], 2)
        X[1][2, 1] = 1e99
        assert np.isfinite(model.score_samples(X)).all()
        np.testing.assert_allclose(model.predict_proba(X)[1].sum(1), 1)
        assert np.isfinite(model.forecast(X, 2).states).all()
        assert model.continue_(X[1], 2)[0].shape == (5, 2)


def test_dependent_columns_without_a_floor_are_refused_or_learned():
    X = [np.column_stack([x, x.sum(1)]) for x in reals()]
    with pytest.raises(UsageError, match="floor"):
        HMM(2, covariance="full", floor=1e-16).fit(X)
    model = HMM(2, covariance="full", device="cpu")
    model.begin(X)
    model.floor = 0.0
    with pytest.raises(DivergedError, match="floor=1e-06"):
        model.maximise(model.expected_statistics(model._encoded(X))[0])


def test_real_sequences_go_on_for_as_long_as_asked():
    model = fitted(reals())
    assert [one.shape for one in model.continue_(reals()[0], 4, n=2)] == [(11, 2)] * 2
    with pytest.raises(UsageError, match="knows no end"):
        model.continue_(reals()[0])


def test_whole_numbers_have_states_that_no_seed_decides():
    """Integers are spread by noise where densities are asked for; where states are, they stand in mid-level."""
    rng = np.random.default_rng(0)
    X = [rng.integers(0, 3, (30, 2)) for _ in range(4)]
    model = fitted(X)
    states, p = model.predict(X), model.predict_proba(X)
    model.seed = 1
    for x, y in zip([*states, *p], [*model.predict(X), *model.predict_proba(X)], strict=True):
        np.testing.assert_array_equal(x, y)


@each_case
def test_forecasts_are_sums_over_paths(X, arguments):
    """p(z), three steps after a beginning of three, from all paths of six whose last three steps say nothing."""
    model = fitted(X, **arguments)
    known = next(x for x in X if len(x) >= 3)[:3]
    x = np.concatenate([known.astype(float), np.full((3, *known.shape[1:]), np.nan)])
    paths, joint = by_paths(model, x, ended=False)
    _, begun = by_paths(model, known, ended=False)
    found = model.forecast([known], 3)
    for t in range(3):
        p = torch.zeros(3, dtype=torch.float64).index_add_(0, paths[:, 3 + t], joint.softmax(0))
        if t == 2 or not model.with_ends:
            np.testing.assert_allclose(found.states[0, t], p, atol=1e-9)
    alive = float((joint.logsumexp(0) - begun.logsumexp(0)).exp())
    assert found.going_on[0, 2] == pytest.approx(alive)
    if model.visible is None:
        means = model.emissionprob_ if X[0].ndim == 1 else model.means_
        np.testing.assert_allclose(found.emission[0], found.states[0] @ means, rtol=1e-6)


def test_drawn_paths_are_those_of_the_posterior():
    model = fitted(words(), 3)
    x = next(w for w in words() if len(w) == 4)
    paths, joint = by_paths(model, x)
    n = 20_000
    code = np.array(model.sample_states([x] * n)) @ [27, 9, 3, 1]
    p = joint.softmax(0).numpy()
    seen = np.bincount(code, minlength=81)
    assert (np.abs(seen - n * p) <= 5 * np.sqrt(n * p * (1 - p)) + 1).all()
    assert (paths.numpy() @ [27, 9, 3, 1] == np.arange(81)).all()


# Data -----------------------------------------------------------------------------------------------------------------


def test_a_list_objects_a_cube_and_one_array_are_the_same_data():
    cube = np.stack(reals((6, 6, 6)))
    model = fitted(cube)
    scores = model.score_samples(cube)
    objects = np.empty(3, dtype=object)
    objects[:] = list(cube)
    for X in (list(cube), objects, torch.from_numpy(cube), [x.tolist() for x in cube]):
        np.testing.assert_array_equal(model.score_samples(X), scores)
    assert model.score_samples(cube[0]) == pytest.approx(scores[:1])
    assert model.decode(cube).shape == (3, 6)
    assert model.predict(cube).shape == (3, 6)
    assert model.decode(cube[0]).shape == model.predict(cube[0]).shape == (6,)
    assert model.predict_proba(cube[0]).shape == (6, 3)
    assert [p.shape for p in model.predict_proba(list(cube))] == [(6, 3)] * 3
    assert model.impute(cube[0]).shape == (6, 2)
    assert model.impute(cube).shape == (3, 6, 2)
    assert model.shape_ == (2,)


@pytest.mark.parametrize(
    ("X", "message"),
    [
        ([], "X holds no sequence"),
        (3, "X holds no sequence"),
        ([np.zeros((4, 2)), np.zeros((0, 2))], "sequence 1 has no steps"),
        ([np.zeros((4, 2)), np.zeros((4, 3))], "steps of shapes"),
        ([np.zeros((4, 2, 2))], r"sequence 0 has shape \(4, 2, 2\)"),
        (["word"], r"sequence 0 has shape .*Give symbols as codes.*reverie fit hmm words\.txt"),
        ([list("word")], "Give symbols as codes"),
        ([np.array(list("word"), dtype=object)], "Give symbols as codes"),
        (np.array(["one", "two"]), "Give symbols as codes"),
        (np.arange(9.0), r"X is one array of shape \(9,\).*a list of sequences, .*or one array \(T, D\)"),
        (np.float64(3), r"X is one array of shape \(\)"),
        ([[1, [2, 3]]], "sequence 0 is no array"),
        ([np.full((4, 2), np.inf)], "infinity"),
        ([np.column_stack([np.arange(4.0), np.full(4, np.nan)])], "column 1 has no value"),
        ([np.arange(4.0)], "4 steps are too few for states=5"),
    ],
)
def test_bad_data_are_refused(X, message):
    with pytest.raises(DataError, match=message):
        HMM(device="cpu").fit(X)


def test_other_sequences_than_it_was_fitted_on_are_refused():
    model = fitted(reals())
    with pytest.raises(DataError, match="2 features"):
        model.score_samples([np.zeros((3, 5))])
    with pytest.raises(UsageError, match="n=-1"):
        model.sample(-1)
    with pytest.raises(UsageError, match="length=0"):
        model.sample(1, length=0)
    for length in (2.7, "abc", [2, 3], [[1, 2, 3]], [1, [2], 3], True, [1, 2, -1], 10**12, 10**30):
        with pytest.raises(UsageError, match="length="):
            model.sample(3, length=length)
    for ask in (
        lambda: model.sample(10**12),
        lambda: model.continue_(reals()[0], 10**12),
        lambda: model.forecast(reals(), 10**12),
    ):
        with pytest.raises(UsageError, match="at most 100,000,000 steps"):
            ask()
    assert len(model.sample(np.int64(2), length=np.int32(3))) == len(model.sample(2, length=np.array([3, 1]))) == 2
    with pytest.raises(UsageError, match="learns no labels"):
        model.sample(1, y=2)
    with pytest.raises(AttributeError, match="emissionprob_ is that of one column of codes"):
        _ = model.emissionprob_
    with pytest.raises(AttributeError, match="endprob_"):
        _ = model.endprob_
    with pytest.raises(AttributeError, match="codes have emissionprob_"):
        _ = fitted(words()).means_


def test_columns_that_never_vary_stand_aside():
    X = [np.column_stack([x, np.full(len(x), 7.0)]) for x in reals()]
    model, without = fitted(X), fitted(reals())
    np.testing.assert_allclose(model.score_samples(X), without.score_samples(reals()))
    assert (model.means_[:, 2] == 7).all()
    assert (model.covars_[:, 2] == 0).all()
    assert all((one[:, 2] == 7).all() for one in model.sample(3))


def test_the_baseline_is_independent_steps():
    """By hand: Laplace's frequencies of letters, and a geometric length."""
    train, X = words(40), words(10, seed=1)
    model = fitted(train)
    letters = np.concatenate(train)
    p = (np.bincount(letters, minlength=3) + 1) / (len(letters) + 3)
    end = (len(train) + 1) / (len(letters) + 2)
    wanted = [np.log(p[w]).sum() + np.log(end) + (len(w) - 1) * np.log1p(-end) for w in X]
    np.testing.assert_allclose(model.baseline_samples(train, X), wanted)
    assert model.baseline(train, X).base_measure == model.base_measure


def test_the_size_is_chosen_by_bic():
    X = reals((60, 80, 70))
    found = {states: HMM(states, device="cpu").fit(X).bic(X) for states in (1, 2, 4)}
    assert min(found, key=found.get) == 2


def test_symbols_that_training_lacks_are_still_symbols():
    """Told how many codes there are, a model gives those that it has not met what smoothing leaves for them."""
    x = [np.array([0, 1, 1, 0]), np.array([1, 0, 1])]
    new = [np.array([0, 2, 3])]
    with pytest.raises(DataError, match="none of the 2 values"):
        HMM(2, device="cpu", epochs=3).fit(x).score_samples(new)
    model = HMM(2, symbols=4, device="cpu", epochs=3).fit(x)
    assert model.emissionprob_.shape == (2, 4)
    np.testing.assert_allclose(model.emissionprob_.sum(1), 1)
    assert np.isfinite(model.score_samples(new)).all()
