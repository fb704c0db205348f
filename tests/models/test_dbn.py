"""The deep belief network: its joint distribution by brute force, its draws, its bound, its labels, its stages."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from sklearn.base import clone
from torch.nn.functional import logsigmoid, softplus

from reverie import CD, PCD, storage
from reverie.contract import LogPartition
from reverie.errors import DataError, DivergedError, UsageError
from reverie.learning.gradient import Discriminative
from reverie.learning.wake_sleep import UpDown
from reverie.models.dbn import DeepBeliefNetwork
from reverie.random import Random

DRAWS = 20_000
CLASSES = 3


def states(n):
    return torch.tensor(list(itertools.product([0.0, 1.0], repeat=n)), dtype=torch.float64).reshape(-1, n)


def network(visible, hidden, labels=False, scale=1.0, seed=0, **arguments):
    """A fitted network whose parameters were then drawn at random."""
    x = np.tile(np.uint8([[0], [1]]), (CLASSES, visible))
    arguments = {"epochs": 1, "device": "cpu", "labels": labels, **arguments}
    model = DeepBeliefNetwork(hidden, **arguments).fit(x, np.arange(len(x)) % CLASSES if labels else None)
    rng = torch.Generator().manual_seed(seed)
    for p in model.params_.values():
        p.copy_(torch.randn(p.shape, generator=rng) * (scale if p.dim() == 2 else 0.7))
    return model


def bernoulli(x, eta):
    """log p(x | eta) of every pair of rows: (n, D), (m, D) -> (n, m)."""
    return x @ eta.T + logsigmoid(-eta).sum(1)


class Enumerated:
    """Every layer's distribution of a binary network, as the module's docstring writes it, in none of its code."""

    def __init__(self, model):
        self.p = {name: p.double() for name, p in model.params_.items()}
        self.L, self.H = len(model.hidden), [model.n_features_in_, *model.hidden]
        self.x = [states(n) for n in self.H]
        W, b, c = (self.p[f"{name}{self.L}"] for name in "Wbc")
        n = self.H[-2]
        below = self.x[self.L - 1]
        if len(b) > n:  # the label's rows: log p*(x, y) of every x and y
            eta = (c + below @ W[:n])[:, None] + W[n:]
            self.prior = (below @ b[:n])[:, None] + b[n:] + softplus(eta).sum(-1)
        else:
            self.prior = (below @ b + softplus(c + below @ W).sum(-1))[:, None]
        self.log_z = self.prior.flatten().logsumexp(0)
        self.prior = self.prior - self.log_z

    def log_p(self):
        """log p(x⁰, y) of every x⁰ and y (one column without labels)."""
        log_p = self.prior
        for k in range(self.L - 1, 0, -1):
            down = bernoulli(self.x[k - 1], self.p[f"b{k}"] + self.x[k] @ self.p[f"W{k}"].T)
            log_p = (down[:, :, None] + log_p[None]).logsumexp(1)
        return log_p

    def bound(self, recognition="Wc"):
        """The variational bound at every x⁰, q summed out by hand: (2^D,), for two or three hidden layers."""
        R, r = recognition
        value = self.prior.logsumexp(1)  # of the highest directed layer's x, upwards
        for k in range(self.L - 1, 0, -1):
            up = bernoulli(self.x[k], self.p[f"{r}{k}"] + self.x[k - 1] @ self.p[f"{R}{k}"]).T
            down = bernoulli(self.x[k - 1], self.p[f"b{k}"] + self.x[k] @ self.p[f"W{k}"].T)
            value = (up.exp() * (value[None] + down - up)).sum(1)
        return value


def assert_frequencies(v, p):
    """Frequencies of the rows of v among all configurations lie within 4 standard errors of p.

    Power: with 20,000 rows a configuration of probability 0.03 may be off by 0.005 at most, one of 0.3 by 0.013.
    """
    D = v.shape[1]
    index = (torch.as_tensor(v).double() @ (2.0 ** torch.arange(D - 1, -1, -1, dtype=torch.float64))).long()
    found = torch.bincount(index, minlength=2**D) / len(v)
    stderr = (p * (1 - p) / len(v)).sqrt().clamp_min(1 / len(v))
    worst = float(((found - p) / stderr).abs().max())
    assert worst < 4, f"{worst:.1f} standard errors"


# The bound ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("hidden", "seed"), [((12, 8), 0), ((12, 8), 1), ((5, 4, 3), 0)])
def test_the_bound_is_below_the_likelihood_and_averages_to_the_enumerated_one(hidden, seed):
    """Summed by hand over all of q it is below log p(x) everywhere; the model's draws average to the same.

    Power: 400 draws of each of 32 examples; an error of 4 standard errors (about 0.3 nats) in one of them is caught.
    """
    model = network(5, hidden, seed=seed)
    exact = Enumerated(model)
    v, bound = exact.x[0], exact.bound()
    assert (bound <= exact.log_p()[:, 0] + 1e-9).all()
    assert float((exact.log_p()[:, 0] - bound).max()) > 0.1, "the machine is too easy to tell"
    rng, twin = Random(0), model.in_double()
    draws = torch.stack([twin.bound(v, rng) for _ in range(400)]) - exact.log_z
    error = (draws.mean(0) - bound) / (draws.std(0) / 20 + 1e-12)
    assert float(error.abs().max()) < 4


def test_the_bound_is_exact_where_the_posterior_is():
    """With zero weights everywhere below and above, q is the posterior and the bound the likelihood."""
    model = network(4, (3, 2), scale=0.0)
    model.params_["b2"].copy_(model.params_["c1"])
    exact = Enumerated(model)
    torch.testing.assert_close(exact.bound(), exact.log_p()[:, 0])
    found = model.in_double().bound(exact.x[0], Random(0)) - exact.log_z
    torch.testing.assert_close(found, exact.log_p()[:, 0])


def test_a_transposed_layer_begins_where_the_machine_below_stands(machine, reference):
    """An RBM under itself turned upside down is the RBM: p(x), bound and all (Hinton, Osindero and Teh 2006)."""
    below = machine(4, 3)
    model = network(4, (3, 6), initial="transposed")
    for name, tensor in below.params_.items():
        model.params_[f"{name}1"].copy_(tensor)
    model.params_["W2"].zero_()
    model.params_["c2"].zero_()
    model.enter(2, torch.ones(5, 3))
    exact, wanted = Enumerated(model), reference(below)
    log_p = wanted.log_prob(exact.x[0])
    torch.testing.assert_close(exact.log_p()[:, 0], log_p)
    torch.testing.assert_close(exact.bound(), log_p)


def test_the_figure_says_what_it_is():
    model = network(5, (4, 3))
    exact = Enumerated(model)
    x = exact.x[0].numpy().astype(np.uint8)
    found = model.log_likelihood(x, draws=200)
    assert found.kind == "lower bound"
    assert found.value == found.low == found.high == pytest.approx(float(exact.bound().mean()), abs=0.1)
    assert "variational lower bound at 200 draws" in found.method
    assert float(exact.log_z) == pytest.approx(model.log_partition_.value, abs=1e-6)
    scores = model.score_samples(x)
    drawn = model._drawn_bounds(exact.x[0].float(), 200)
    spread = drawn.std(0).numpy()  # 0.3 to 2 nats
    assert (np.abs(scores - exact.bound().numpy()) < 5 * spread / math.sqrt(10)).all()
    off = drawn.mean(0) - model.log_partition_.value - exact.bound()
    assert (off.abs().numpy() < 5 * spread / math.sqrt(200)).all()
    assert model.score(x) == pytest.approx(scores.mean())
    guess = model.log_likelihood(x, exact=False, chains=100, temperatures=200, burn_in=50, draws=200)
    assert guess.kind == "estimate"
    assert guess.method.startswith("estimate of a lower bound")
    assert guess.value == guess.low < guess.high
    assert guess.value < float(exact.bound().mean()) + 0.1 < guess.high + 1
    assert model.log_partition_.verdict == "exact"  # what was wanted for once is not kept


@pytest.mark.parametrize(("rows", "draws"), [(1, 10), (50, 1), (50, 10), (3, 40)])
def test_the_standard_error_knows_that_equal_rows_share_their_draws(rows, draws):
    """Copies of one row: all that the mean is off by is the noise of q, and averaging over copies does not help.

    Over the 32 patterns the errors in units of the standard error have a spread of about one; without the shared
    noise it would be infinite, or √rows.
    """
    model = network(5, (6, 4), scale=2.0)
    exact = Enumerated(model)
    errors, spreads = [], []
    for row, wanted in zip(exact.x[0].numpy().astype(np.uint8), exact.bound().tolist(), strict=True):
        found = model.log_likelihood(np.tile(row, (rows, 1)), draws=draws)
        errors.append(found.value - wanted)
        spreads.append(found.stderr)
    assert 0.6 < np.sqrt(np.mean(np.square(errors)) / np.mean(np.square(spreads))) < 1.6


def test_rows_that_differ_bring_their_noise_along():
    """For them the spread over rows holds all of it, as before."""
    model = network(5, (4, 3))
    x = states(5).numpy().astype(np.uint8)
    found = model.log_likelihood(x)
    assert found.stderr == pytest.approx(model.score_samples(x).std(ddof=1) / math.sqrt(32))
    twice = model.log_likelihood(np.tile(x, (2, 1)))
    assert found.stderr / math.sqrt(2) < twice.stderr < found.stderr


def test_the_conservative_side_is_taken():
    model = network(5, (4, 3))
    x = states(5).numpy().astype(np.uint8)
    level = float(model._bounds(model._encoded(x)).mean())
    model.log_partition_ = LogPartition(3.0, 2.5, 9.0, "annealing", "inconsistent", ())
    found = model.log_likelihood(x)
    assert (found.value, found.low, found.high) == pytest.approx((level - 9, level - 9, level - 2.5))
    with pytest.warns(UserWarning, match="inconsistent estimate"):
        assert model.score(x) == pytest.approx(level - 9)


def test_one_hidden_layer_is_a_restricted_boltzmann_machine(machine, reference):
    below = machine(5, 4)
    model = network(5, (4,))
    for name, tensor in below.params_.items():
        model.params_[f"{name}1"].copy_(tensor)
    x = states(5).numpy().astype(np.uint8)
    found = model.log_likelihood(x)
    assert found.kind == "exact"
    np.testing.assert_allclose(model.score_samples(x), reference(below).log_prob(states(5)), atol=1e-6)
    np.testing.assert_allclose(model.transform(x), below.transform(x), atol=1e-6)
    np.testing.assert_allclose(model.reconstruct(x), below.reconstruct(x), atol=1e-6)
    assert_frequencies(model.sample(DRAWS, burn_in=30), reference(below).p())


def test_the_bound_of_real_values():
    """Gaussian columns: p(x) is a mixture over x¹, the bound below it, and both in the data's own units."""
    x = np.random.default_rng(0).normal(3, 5, (200, 2))
    model = DeepBeliefNetwork((3, 2), visible="gaussian", epochs=1, device="cpu").fit(x)
    rng = torch.Generator().manual_seed(1)
    for name in ("W1", "b1", "c1", "W2", "b2", "c2"):
        model.params_[name].copy_(torch.randn(model.params_[name].shape, generator=rng))
    p = {name: t.double() for name, t in model.params_.items()}
    h = states(3)
    prior = h @ p["b2"] + softplus(p["c2"] + h @ p["W2"]).sum(1)
    prior = prior - prior.logsumexp(0)
    variance = -0.5 / p["a1"]
    mean = (p["b1"] + h @ p["W1"].T) * variance
    z = model._encoded(x).double()
    down = torch.distributions.Normal(mean, variance.sqrt()).log_prob(z[:, None]).sum(-1)
    volume = float(model.buffers_["scale"].log().sum())
    up = bernoulli(h, p["c1"] + z @ p["W1"]).T
    bound = (up.exp() * (prior + down - up)).sum(1) - volume
    log_p = (prior + down).logsumexp(1) - volume
    assert (bound <= log_p + 1e-9).all()
    found = model.log_likelihood(x, draws=400)
    assert found.value == pytest.approx(float(bound.mean()), abs=0.05)
    assert "in the data's own units" in found.base_measure


# Draws ----------------------------------------------------------------------------------------------------------------


def test_draws_have_the_enumerated_frequencies():
    model = network(4, (5, 4, 3))
    assert_frequencies(model.sample(DRAWS, burn_in=60), Enumerated(model).log_p().exp()[:, 0])


@pytest.mark.parametrize("hidden", [(4, 3), (3,)])
def test_draws_given_a_label_have_the_conditional_frequencies(hidden):
    model = network(4, hidden, labels=True, scale=0.8)
    joint = Enumerated(model).log_p() if len(hidden) > 1 else Enumerated(model).prior
    for y in range(CLASSES):
        assert_frequencies(model.sample(DRAWS, y=y, burn_in=60), joint[:, y].softmax(0))
    assert_frequencies(model.sample(DRAWS, burn_in=60), joint.logsumexp(1).exp())


@pytest.mark.parametrize("hidden", [(4, 3), (3,)])
def test_means_are_those_of_the_last_step_down(hidden):
    """Averaged over many draws, E[x | x¹] has the mean of x; and it is no draw."""
    model = network(4, hidden, labels=True)
    means, draws = model.sample(4000, burn_in=60, mean=True), model.sample(DRAWS, burn_in=60)
    assert means.dtype == np.float32
    assert not np.isin(means, (0, 1)).any()
    np.testing.assert_allclose(means.mean(0), draws.mean(0), atol=0.03)


def test_chains_start_where_they_are_told():
    """A top that never moves shows where its chains began, and the layers below copy it."""
    model = network(2, (2, 2))
    for k in (1, 2):
        model.params_[f"W{k}"].copy_(60 * torch.eye(2))
        for name in "bc":
            model.params_[f"{name}{k}"].fill_(-30.0)
    example = np.uint8([[1, 0]])
    assert (model.sample(50, start=example, burn_in=3) == example).all()
    assert_frequencies(model.sample(DRAWS, burn_in=1), torch.full((4,), 0.25))
    model.buffers_["particles"] = torch.tensor([[30.0, 30.0], [-30.0, 30.0]])
    assert {tuple(row) for row in model.sample(100, start="particles", burn_in=2)} == {(1, 1), (0, 1)}


def test_the_same_call_gives_the_same_draws():
    model = network(4, (3, 3))
    assert (model.sample(30, burn_in=5) == model.sample(30, burn_in=5)).all()
    assert (model.sample(30, burn_in=5) != model.sample(30, burn_in=5, seed=7)).any()
    assert model.sample(0).shape == (0, 4)
    assert model.sample(7, chains=2, thin=1, burn_in=2).shape == (7, 4)


@pytest.mark.parametrize(
    ("arguments", "error", "says"),
    [
        ({"n": -1}, UsageError, "n=-1"),
        ({"burn_in": 0}, UsageError, "burn_in=0"),
        ({"thin": 0}, UsageError, "thin=0"),
        ({"chains": 0}, UsageError, "chains=0"),
        ({"start": "nowhere"}, UsageError, "start='nowhere'"),
        ({"start": np.zeros((2, 7))}, DataError, "7 features"),
        ({"y": 1}, UsageError, "learned no labels"),
        ({"chains": "a"}, UsageError, "chains='a'"),
        ({"chains": 1.5}, UsageError, "chains=1.5"),
        ({"seed": "x"}, UsageError, "seed='x'"),
        ({"seed": 1.5}, UsageError, "seed=1.5"),
    ],
)
def test_sampling_refuses(arguments, error, says):
    with pytest.raises(error, match=says):
        network(5, (3, 3)).sample(**{"n": 2, **arguments})


@pytest.mark.parametrize("hidden", [0, (), (2.5,), None, np.zeros((2, 2))])
def test_layers_that_are_none_are_refused(hidden):
    with pytest.raises(UsageError, match="hidden="):
        DeepBeliefNetwork(hidden, epochs=1, device="cpu").fit(np.eye(4))


def test_a_gap_is_not_said_to_be_filled_where_nothing_fills_it():
    x = np.eye(4)
    model = network(4, (3, 3))
    x[2, 1] = np.nan
    for ask in (model.transform, model.fit):
        with pytest.raises(DataError, match="row 2, column 1") as error:
            ask(x)
        assert "impute" not in str(error.value)


def test_layers_may_be_an_array():
    model = DeepBeliefNetwork(np.array([3, 2]), epochs=1, device="cpu").fit(np.eye(4))
    assert model.transform(np.eye(4)).shape == (4, 2)


def test_a_label_that_was_never_learned_is_refused():
    with pytest.raises(DataError, match="no label that the model learned"):
        network(4, (3, 3), labels=True).sample(2, y=9)
    with pytest.raises(UsageError, match="has none: PCD"):
        network(4, (3, 3), learning=CD()).sample(2, start="particles")


# Labels ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("hidden", [(4, 3), (3,), (4, 4, 3)])
def test_predictions_are_those_of_the_enumerated_top(hidden):
    """p(y | x^{L−1}) at the means of the pass upwards, by summing e^−E over every x^L and y."""
    model = network(5, hidden, labels=True)
    x, p = states(5), {name: t.double() for name, t in model.params_.items()}
    L, h = len(hidden), x
    for k in range(1, L):
        h = torch.sigmoid(p[f"c{k}"] + h @ p[f"W{k}"])
    g, onehot = states(hidden[-1]), torch.eye(CLASSES, dtype=torch.float64)
    v = torch.cat([h[:, None].expand(-1, CLASSES, -1), onehot.expand(len(h), -1, -1)], 2)
    energy = -(v @ p[f"b{L}"])[..., None] - g @ p[f"c{L}"] - v @ p[f"W{L}"] @ g.T
    wanted = (-energy).logsumexp(-1).softmax(1)
    np.testing.assert_allclose(model.predict_proba(x), wanted, atol=1e-5)
    assert (model.predict(x) == wanted.argmax(1).numpy()).all()


def test_the_bound_of_a_labelled_network_sums_the_label_out():
    model = network(4, (5, 3), labels=True)
    exact = Enumerated(model)
    found = model.log_likelihood(exact.x[0].numpy().astype(np.uint8), draws=300)
    assert found.value == pytest.approx(float(exact.bound().mean()), abs=0.1)
    assert (exact.bound() <= exact.log_p().logsumexp(1) + 1e-9).all()
    annealed = model.log_likelihood(exact.x[0], exact=False, chains=50, temperatures=200, burn_in=50)
    assert annealed.value == pytest.approx(found.value, abs=0.8)


def test_features_average_the_label_out():
    """E[x^L | x^{L−1}] = Σ_y p(y | x^{L−1}) σ(c + x^{L−1}W + W_y)."""
    model = network(4, (5, 3), labels=True)
    x, p = states(4), {name: t.double() for name, t in model.params_.items()}
    below = torch.sigmoid(p["c1"] + x @ p["W1"])
    given = torch.stack([torch.sigmoid(p["c2"] + below @ p["W2"][:5] + p["W2"][5 + y]) for y in range(CLASSES)])
    wanted = torch.einsum("ny,ynh->nh", torch.from_numpy(model.predict_proba(x)), given)
    np.testing.assert_allclose(model.transform(x), wanted, atol=1e-5)
    np.testing.assert_allclose(model.transform(x, depth=1), below, atol=1e-6)


@pytest.fixture(scope="module")
def bars_or_stripes():
    """The 12 patterns of 3 × 3 that are bars or stripes and not both, 20 times each, and which of the two they are."""
    lines = np.array(list(itertools.product([0, 1], repeat=3)), dtype=np.uint8)[1:-1]
    rows, columns = np.repeat(lines[:, :, None], 3, 2), np.repeat(lines[:, None, :], 3, 1)
    x, y = np.concatenate([rows, columns]), np.repeat(["rows", "columns"], 6)
    return np.tile(x, (20, 1, 1)), np.tile(y, 20)


SMALL = {"hidden": (20, 20), "labels": True, "epochs": 60, "batch_size": 20, "learning_rate": 0.1, "device": "cpu"}


def test_up_down_learning_betters_a_greedy_network(bars_or_stripes):
    """Labels are all found, most dreams of a class belong to it, and the bound comes closer to the entropy, −log 12.

    Greedy learning alone reaches about −3.7 nats, up-down learning −2.7; −2.48 is the most.
    """
    x, y = bars_or_stripes
    arguments = {**SMALL, "learning": PCD(momentum=0.9)}
    plain = DeepBeliefNetwork(**arguments).fit(x, y)
    tuned = DeepBeliefNetwork(**arguments, finetune=UpDown(epochs=30, learning_rate=0.1)).fit(x, y)
    for model in (plain, tuned):
        assert (model.predict(x) == y).all()
        for label, across in (("rows", (slice(None), slice(None), slice(1))), ("columns", (slice(None), slice(1)))):
            dreams = model.sample(400, y=label, start="particles", burn_in=100)
            assert (dreams == dreams[across]).all((1, 2)).mean() > 0.4, label
    before, after = (model.log_likelihood(x[:12]).value for model in (plain, tuned))
    assert before + 0.5 < after <= -math.log(12)


def test_backpropagation_classifies_with_and_without_what_came_before(bars_or_stripes):
    x, y = bars_or_stripes
    for pretrain in (True, False):
        finetune = Discriminative(epochs=30, learning_rate=0.01, dropout=0.0)
        arguments = {**SMALL, "epochs": 30, "learning": CD(momentum=0.9), "finetune": finetune}
        model = DeepBeliefNetwork(**arguments, pretrain=pretrain).fit(x, y)
        assert (model.predict(x) == y).all()
        assert model.predict_proba(x).max(1).min() > 0.9
        assert len(model.history_) == 60 * pretrain + 30


# Passes ---------------------------------------------------------------------------------------------------------------


def test_features_at_any_depth_are_means_of_means():
    model = network(4, (5, 4, 3))
    h, x = states(4), states(4).numpy()
    for k in (1, 2, 3):
        h = torch.sigmoid(h @ model.params_[f"W{k}"].double() + model.params_[f"c{k}"])
        np.testing.assert_allclose(model.transform(x, depth=k), h, atol=1e-6)
        np.testing.assert_allclose(model.transform(x, depth=k - 4), h, atol=1e-6)
    for k in (3, 2, 1):
        h = torch.sigmoid(h @ model.params_[f"W{k}"].double().T + model.params_[f"b{k}"])
    np.testing.assert_allclose(model.reconstruct(x), h, atol=1e-6)
    assert list(model.get_feature_names_out()) == [f"deepbeliefnetwork{k}" for k in range(3)]
    for bad in (0, 4, -4, "top"):
        with pytest.raises(UsageError, match="depth="):
            model.transform(x, depth=bad)


def test_features_at_any_depth_have_their_names_in_pandas():
    pytest.importorskip("pandas")
    model, x = network(4, (5, 4, 3)), states(4).numpy()
    model.set_output(transform="pandas")
    for k, size in enumerate(model.hidden, 1):
        assert list(model.transform(x, depth=k).columns) == [f"deepbeliefnetwork{i}" for i in range(size)]
    assert model.transform(x).shape == (len(x), model.hidden[-1])
    assert len(model.get_feature_names_out()) == model.hidden[-1]


@pytest.mark.parametrize("finetune", [None, UpDown(epochs=1), Discriminative(epochs=1)], ids=["none", "tuned", "class"])
@pytest.mark.parametrize("hidden", [(20,), (20, 5)])
def test_a_lowest_layer_that_diverges_is_never_silent(hidden, finetune):
    """Real columns: it is said once that layer is done, before others rest on it."""
    x, y = np.random.default_rng(0).normal(size=(300, 10)), np.arange(300) % 2
    labels = isinstance(finetune, Discriminative)
    arguments = {"visible": "gaussian", "epochs": 10, "finetune": finetune, "labels": labels, "device": "cpu"}
    model = DeepBeliefNetwork(hidden, learning_rate=20.0, **arguments)
    with pytest.raises(DivergedError, match=r"training of layer 1 diverged.* try learning_rate=2 \(it was 20\)"):
        model.fit(x, y)
    assert model.n_iter_ == 10
    DeepBeliefNetwork(hidden, learning_rate=0.05, **arguments).fit(x, y)


def test_persistent_chains_are_those_of_the_tuned_top(bars_or_stripes):
    """A chain stands at c + xW of some x: of the weights that up-down learning has left, not of those before."""
    x = bars_or_stripes[0].reshape(-1, 9)[:12]
    tuning = UpDown(epochs=20, learning_rate=0.3)
    model = DeepBeliefNetwork((4, 3), epochs=2, finetune=tuning, device="cpu").fit(x)
    reachable = model.params_["c2"] + states(4).float() @ model.params_["W2"]
    distance = torch.cdist(model.buffers_["particles"], reachable, compute_mode="donot_use_mm_for_euclid_dist")
    assert float(distance.min(1).values.max()) < 1e-5
    assert len(distance.argmin(1).unique()) > 3


def test_up_down_learning_gives_the_way_up_weights_of_its_own():
    model = network(4, (5, 3), finetune=UpDown(epochs=1))
    exact, x = Enumerated(model), states(4)
    wanted = torch.sigmoid(x @ model.params_["R1"].double() + model.params_["r1"])
    np.testing.assert_allclose(model.transform(x, depth=1), wanted, atol=1e-6)
    found = model.log_likelihood(x, draws=300)
    assert found.value == pytest.approx(float(exact.bound("Rr").mean()), abs=0.1)


def test_a_classifier_keeps_the_network_that_it_grew_from():
    """Backpropagation moves a copy: what generates is that of greedy learning alone, bit for bit."""
    x = np.random.default_rng(0).integers(0, 2, (60, 6)).astype(np.uint8)
    arguments = {"hidden": (5, 4), "epochs": 2, "batch_size": 20, "device": "cpu"}
    plain = DeepBeliefNetwork(**arguments).fit(x)
    tuned = DeepBeliefNetwork(**arguments, labels=True, finetune=Discriminative(epochs=2)).fit(x, x[:, 0])
    assert all(torch.equal(p, tuned.params_[name]) for name, p in plain.params_.items())
    assert not torch.equal(tuned.params_["U1"], tuned.params_["W1"])
    assert tuned.sample(3, burn_in=3).shape == (3, 6)
    assert tuned.log_likelihood(x).kind == "lower bound"
    with pytest.raises(UsageError, match="as a classifier"):
        tuned.sample(2, y=1)


def test_binarised_draws_go_up_as_their_means():
    """``binarise="dynamic"``: passes of means see the intensities themselves, not one draw of them."""
    x = np.random.default_rng(0).uniform(size=(40, 5))
    model = DeepBeliefNetwork((4, 3), binarise="dynamic", epochs=1, device="cpu").fit(x)
    h = torch.sigmoid(torch.from_numpy(x).float() @ model.params_["W1"] + model.params_["c1"])
    np.testing.assert_allclose(model.transform(x, depth=1), h, atol=1e-6)
    bright = np.full((4, 5), 255, np.uint8)
    model = DeepBeliefNetwork((4, 3), binarise="dynamic", epochs=1, device="cpu").fit(np.tile(bright, (5, 1)))
    h = torch.sigmoid(model.params_["W1"].sum(0) + model.params_["c1"]).expand(4, -1)
    np.testing.assert_allclose(model.transform(bright, depth=1), h, atol=1e-6)


# The estimator --------------------------------------------------------------------------------------------------------

WAYS = {
    "plain": {},
    "labels": {"labels": True},
    "up-down": {"labels": True, "finetune": UpDown(epochs=2)},
    "up-down alone": {"finetune": UpDown(epochs=2), "pretrain": False},
    "classifier": {"labels": True, "finetune": Discriminative(epochs=2)},
    "classifier alone": {"labels": True, "finetune": Discriminative(epochs=2), "pretrain": False},
    "real values": {"visible": "gaussian", "finetune": UpDown(epochs=2)},
    "categories": {"visible": "categorical", "labels": True},
    "one layer": {"hidden": (3,), "labels": True, "visible": "gaussian"},
    "all PCD": {"learning": PCD(particles=5), "initial": "transposed"},
}


@pytest.mark.parametrize("way", WAYS)
def test_what_is_saved_is_what_is_loaded(way, tmp_path, monkeypatch):
    x = np.random.default_rng(0).integers(0, 3 if way == "categories" else 2, (30, 2, 3)).astype(np.uint8)
    y = np.array(["a", "b"])[x[:, 0, 0] % 2]
    arguments = {"hidden": (4, 3), "epochs": 2, "batch_size": 10, "device": "cpu", **WAYS[way]}
    model = DeepBeliefNetwork(**arguments).fit(x, y if "labels" in arguments else None)
    assert len(model.history_) == model.planned_epochs
    model.save(tmp_path / "dbn")
    saved, tensors = storage.read_model(tmp_path / "dbn")
    again = DeepBeliefNetwork.restored(saved, tensors, tmp_path / "dbn")
    assert again.get_params(deep=False).keys() == model.get_params(deep=False).keys()
    assert (again.transform(x) == model.transform(x)).all()
    for verb in ("predict_proba", "score_samples", "reconstruct"):
        assert hasattr(again, verb) == hasattr(model, verb)
        if hasattr(model, verb):
            assert (getattr(again, verb)(x) == getattr(model, verb)(x)).all()
    if hasattr(model, "sample"):
        draws = model.sample(9, burn_in=4)
        assert draws.shape == (9, 2, 3)
        assert draws.dtype == x.dtype
        assert (again.sample(9, burn_in=4) == draws).all()


@pytest.mark.parametrize("way", WAYS)
def test_the_same_seed_gives_the_same_bits_and_a_clone_learns_them(way):
    x = np.random.default_rng(0).integers(0, 2, (30, 6)).astype(np.uint8)
    arguments = {"hidden": (4, 3), "epochs": 2, "batch_size": 10, "device": "cpu", **WAYS[way]}
    y = x[:, 0] if "labels" in arguments else None
    first = DeepBeliefNetwork(**arguments).fit(x, y, validation=x[:5], validation_y=None if y is None else y[:5])
    second = clone(first).fit(x, y)
    for name, p in first.params_.items():
        assert torch.equal(p, second.params_[name]), name
    assert set(first.history_[0]) == set(first.history_[-1])
    columns = set().union(*(curve.columns for curve in first.curves))
    assert set(first.history_[0]) - {"epoch"} <= columns


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"hidden": ()}, "hidden=\\(\\)"),
        ({"hidden": (5, 0)}, "hidden"),
        ({"pretrain": False}, "learns nothing"),
        ({"finetune": Discriminative()}, "labels=True"),
        ({"initial": "best"}, "initial"),
    ],
)
def test_what_cannot_be_learned_is_refused(arguments, says):
    with pytest.raises(UsageError, match=says):
        DeepBeliefNetwork(**arguments, device="cpu").fit(np.eye(4))


def test_what_a_network_cannot_do_it_does_not_have():
    plain = network(4, (3, 3))
    assert not hasattr(plain, "predict")
    with pytest.raises(AttributeError, match="only with labels=True"):
        plain.predict(states(4))
    alone = network(4, (3, 3), labels=True, pretrain=False, finetune=Discriminative(epochs=1))
    for verb in ("sample", "score_samples", "log_likelihood", "reconstruct"):
        assert not hasattr(alone, verb)
    assert alone.pictures(states(4).numpy(), Random(0)) == []
    with pytest.raises(AttributeError, match="nothing but to classify"):
        alone.sample(2)


@pytest.mark.parametrize(("finetune", "last"), [(None, "layer 2 of 2"), (UpDown(epochs=1), "all layers, up-down")])
def test_a_listener_hears_which_layer_learns(finetune, last):
    heard = []
    network = DeepBeliefNetwork((3, 2), epochs=1, finetune=finetune, device="cpu")
    network.fit(np.eye(4), listeners=[lambda progress: heard.append(progress.stage)])
    assert heard[:2] == ["layer 1 of 2", "layer 2 of 2"]
    assert heard[-1] == last
    assert network.stage == ""


def test_pictures_of_images(bars_and_stripes):
    model = DeepBeliefNetwork((6, 5), epochs=1, device="cpu").fit(bars_and_stripes)
    first, second, film = model.pictures(bars_and_stripes, Random(0))
    assert (first.images.shape, second.images.shape) == ((6, 3, 3), (5, 3, 3))
    assert first.diverging
    assert second.diverging
    W1, W2 = (model.params_[name].numpy() for name in ("W1", "W2"))
    fields = {tuple(np.round(image.reshape(-1), 5)) for image in second.images}
    assert fields == {tuple(np.round(column, 5)) for column in (W1 @ W2).T.astype(np.float32)}
    assert film.images.shape == (film.columns, 3, 3)
    assert ((film.images >= 0) & (film.images <= 1)).all()
    assert DeepBeliefNetwork((2, 2), epochs=1, device="cpu").fit(np.eye(3)).pictures(np.eye(3), Random(0)) == []
