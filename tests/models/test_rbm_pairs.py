"""Every proper pair of layers of the RBM against sums and integrals that use none of the package's code.

The reference writes the energy as the textbook does and sums it over a grid of all configurations: discrete columns in
full, real ones on a fine trapezoid, half-lines on Gauss and Legendre's points. Both converge exponentially for these
densities, so they are exact to the tolerances here.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from torch import Tensor

from reverie import CD, RBM, Exact
from reverie.contract import Annealed, Enumerable, HasStatistics
from reverie.errors import DivergedError, UsageError
from reverie.evidence import likelihood
from reverie.evidence.likelihood import Annealing
from reverie.random import Random
from reverie.units import Bernoulli, Blocks, Categorical, Gaussian, Rectified, UnitGaussian

K = 3
CHAINS = 20_000
RATE = 0.3
D64 = {"dtype": torch.float64}

# Columns by a letter each: (b)inary, (c)ategorical of K, (g)aussian with a variance of its own; among hidden units
# (u)nit gaussian and (r)ectified, whose base measure is e^(−x²/2).
VISIBLE = {
    "bernoulli": ("bbb", Bernoulli(3)),
    "categorical": ("cc", Categorical(2, K)),
    "gaussian": ("gg", Gaussian(2)),
    "codes and bits": ("ccb", Blocks([Categorical(2, K), Bernoulli(1)])),
    "mixed": ("gcbg", Blocks([Gaussian(1), Categorical(1, K), Bernoulli(1), Gaussian(1)])),
}
HIDDEN = {
    "bernoulli": ("bbb", Bernoulli(3)),
    "categorical": ("cc", Categorical(2, K)),
    "gaussian": ("uu", UnitGaussian(2)),
    "rectified": ("rr", Rectified(2)),
}
PAIRS = [
    (visible, hidden)
    for visible, hidden in itertools.product(VISIBLE, HIDDEN)
    if not ("g" in VISIBLE[visible][0] and hidden in ("gaussian", "rectified"))
]
each_pair = pytest.mark.parametrize("pair", PAIRS, ids="-".join)
each_discrete_pair = pytest.mark.parametrize(
    "pair", [p for p in PAIRS if "g" not in VISIBLE[p[0]][0] and p[1] in ("bernoulli", "categorical")], ids="-".join
)
each_beta = pytest.mark.parametrize("beta", [0.0, 0.3, 1.0])


# The reference --------------------------------------------------------------------------------------------------------


def points(kind: str) -> tuple[Tensor, Tensor]:
    """Values of a column and the logarithms of their weights in a sum or an integral."""
    if kind in "bc":
        n = {"b": 2, "c": K}[kind]
        return torch.arange(n, **D64), torch.zeros(n, **D64)
    if kind in "gu":
        x = torch.linspace(-12, 12, 161, **D64)
        weight = torch.full_like(x, float(x[1] - x[0])).log()
    else:
        nodes, weights = (torch.from_numpy(t) for t in np.polynomial.legendre.leggauss(80))
        x, weight = 6 * (nodes + 1), (6 * weights).log()
    return x, weight if kind == "g" else weight - x**2 / 2


def grid(kinds: str) -> tuple[Tensor, Tensor]:
    """All configurations (S, columns) of a layer, and their log weights (S,)."""
    values, weights = zip(*map(points, kinds), strict=True)
    return torch.cartesian_prod(*values).reshape(-1, len(kinds)), sum(torch.meshgrid(*weights, indexing="ij")).flatten()


def linear(kinds: str, x: Tensor) -> Tensor:
    """The statistics that couple: indicators of the categories, the value itself of all others."""
    codes = torch.arange(K, **D64)
    return torch.cat([(x[:, [k]] == codes).double() if c == "c" else x[:, [k]] for k, c in enumerate(kinds)], 1)


def quadratic(kinds: str, x: Tensor) -> Tensor:
    """The squares of columns that have a variance of their own."""
    return x[:, [k for k, c in enumerate(kinds) if c == "g"]] ** 2


@dataclass
class Reference:
    """The joint density of two layers as the textbook writes it."""

    visible: str
    hidden: str
    W: Tensor
    b: Tensor
    a: Tensor
    c: Tensor

    def __post_init__(self):
        self.v, self.log_dv = grid(self.visible)
        self.h, self.log_dh = grid(self.hidden)
        self.t = linear(self.hidden, self.h)

    def log_joint(self, v: Tensor | None = None) -> Tensor:
        """−E(v, h) of rows of v (the grid by default) and all h on the grid: (V, S)."""
        v = self.v if v is None else v
        s = linear(self.visible, v)
        return (s @ self.b + quadratic(self.visible, v) @ self.a)[:, None] + self.t @ self.c + s @ self.W @ self.t.T

    def log_f(self, v: Tensor | None = None) -> Tensor:
        """log ∫ e^−E dh: (V,)."""
        return (self.log_joint(v) + self.log_dh).logsumexp(1)

    def log_z(self) -> Tensor:
        return (self.log_f() + self.log_dv).logsumexp(0)

    def p(self) -> Tensor:
        """Probability of each point of the visible grid with the cell round it."""
        return (self.log_f() + self.log_dv).softmax(0)

    def hidden_given(self, v: Tensor) -> Tensor:
        """(V, S)."""
        return (self.log_joint(v) + self.log_dh).softmax(1)

    def visible_given(self) -> Tensor:
        """(V, S), each column a distribution."""
        return (self.log_joint() + self.log_dv[:, None]).softmax(0)

    def at(self, beta: float, base: Tensor) -> Reference:
        """The path: visible parameters between the base's and the machine's, all else scaled by beta."""
        b0, a0 = base.split([len(self.b), len(self.a)])
        b, a = ((1 - beta) * start + beta * end for start, end in ((b0, self.b), (a0, self.a)))
        return replace(self, W=beta * self.W, b=b, a=a, c=beta * self.c)

    def draw(self, n: int, seed: int, given: Tensor | None = None) -> Tensor:
        """Exact draws of v by NumPy's generator: from a sum over the grid where all of it is discrete, otherwise h and
        then v given h, a normal distribution for each Gaussian column. ``given`` holds discrete columns fast."""
        rng, log_p = np.random.default_rng(seed), self.log_joint() + self.log_dv[:, None] + self.log_dh
        if given is not None:
            log_p = log_p + (self.v == given)[:, ~given.isnan()].all(1).double().log()[:, None]
        p = log_p.flatten().softmax(0).numpy()
        v, h = np.divmod(rng.choice(len(p), n, p=p / p.sum()), len(self.h))
        x = self.v[v].clone()
        eta, real = self.b + self.t[h] @ self.W.T, [k for k, c in enumerate(self.visible) if c == "g"]
        places = np.cumsum([0, *(K if c == "c" else 1 for c in self.visible)])
        for k, quadratic_parameter in zip(real, self.a, strict=True):
            variance = float(-0.5 / quadratic_parameter)
            loc = variance * eta[:, places[k]]
            x[:, k] = loc + math.sqrt(variance) * torch.from_numpy(rng.standard_normal(n))
        return x


def pair_of(pair: tuple[str, str], seed: int = 0, scale: float = 0.6) -> tuple[RBM, Reference]:
    """A machine in float64 with parameters and a base of no special kind, and its reference."""
    (visible, V), (hidden, U) = VISIBLE[pair[0]], HIDDEN[pair[1]]
    rng = torch.Generator().manual_seed(seed)
    squares = visible.count("g")
    W, b, c, base = (torch.randn(s, generator=rng, **D64) for s in ((V.linear, U.linear), V.linear, U.linear, V.linear))
    # Conditional precisions of 1.2 to 2.4, and a base that is wider: the range in which learning keeps them.
    a = -0.6 - 0.6 * torch.rand(squares, generator=rng, **D64)
    params = {"W": scale * W, "b": 0.5 * b, **({"a": a} if squares else {}), "c": 0.5 * c}
    wide = torch.cat([0.3 * base, torch.full((squares,), -0.3, **D64)])
    model = RBM.machine(V, U, params, wide)
    return model, Reference(visible, hidden, params["W"].clone(), params["b"].clone(), a.clone(), params["c"].clone())


def in_single(model: RBM) -> RBM:
    """The machine as it is used: in float32."""
    params = {name: p.float() for name, p in model.params_.items()}
    return RBM.machine(model.visible_unit, model.hidden_unit, params, model.buffers_["base"].float())


def some_rows(exact: Reference, n: int, seed: int = 0) -> Tensor:
    return exact.draw(n, seed)


# The equations --------------------------------------------------------------------------------------------------------


@each_pair
def test_the_energy_and_the_free_energy(pair):
    model, exact = pair_of(pair)
    v, h = exact.v[:: max(1, len(exact.v) // 50)], exact.h[:: max(1, len(exact.h) // 50)]
    joint = exact.log_joint(v)[:, :: max(1, len(exact.h) // 50)]
    found = model.energy(v.repeat_interleave(len(h), 0), h.repeat(len(v), 1))
    torch.testing.assert_close(-found, joint.flatten())
    torch.testing.assert_close(-model.free_energy(v), exact.log_f(v), rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(model.log_f(v), exact.log_f(v), rtol=1e-9, atol=1e-9)


@each_pair
def test_the_conditionals_are_those_of_the_joint(pair):
    """Means of both layers given the other, and the density of the visible one."""
    model, exact = pair_of(pair)
    v = some_rows(exact, 20)
    torch.testing.assert_close(model.hidden_mean(model.hidden_natural(v)), exact.hidden_given(v) @ exact.t)
    some = slice(None, None, max(1, len(exact.h) // 20))
    p, eta = exact.visible_given().T[some], model.visible_natural(exact.t[some])
    squares = quadratic(exact.visible, exact.v)
    wanted = p @ torch.cat([linear(exact.visible, exact.v), squares], 1)
    torch.testing.assert_close(model.visible_unit.mean(eta), wanted)
    log_density = model.visible_unit.log_prob(exact.v, eta[:, None])
    torch.testing.assert_close((log_density + exact.log_dv).exp(), p, rtol=1e-8, atol=1e-12)


@each_pair
def test_the_statistics_are_minus_the_gradient_of_the_energy(pair):
    """−∂E/∂θ of every parameter, with the weights' as the outer product that ``interactions`` promises."""
    model, exact = pair_of(pair)
    assert isinstance(model, HasStatistics)
    assert isinstance(model, Annealed)
    assert isinstance(model, Enumerable)
    v, h = exact.v[[len(exact.v) // 3]], exact.h[[len(exact.h) // 3]]
    twin = model.with_params({k: p.clone().requires_grad_() for k, p in model.params_.items()})
    (-twin.energy(v, h)).sum().backward()
    s, t = linear(exact.visible, v)[0], linear(exact.hidden, h)[0]
    wanted = {"W": torch.outer(s, t), "b": s, "a": quadratic(exact.visible, v)[0], "c": t}
    for name, p in twin.params_.items():
        torch.testing.assert_close(p.grad, wanted[name], msg=lambda m, n=name: f"{n}: {m}")
    found = model.statistics(v, model.chain(v, Random()))
    for name in found.keys() - {"c"}:
        torch.testing.assert_close(found[name][0], wanted[name])


@each_pair
def test_enumeration_is_the_joint_distribution(pair, monkeypatch):
    """Blocks of 4 at most cover one layer; their weights sum to Z, and their averages are the joint's moments."""
    monkeypatch.setattr("reverie.models.rbm._BLOCK", 4)
    model, exact = pair_of(pair)
    blocks = list(model.enumerate())
    statistics = {name: torch.cat([block[name] for block, _ in blocks]) for name in blocks[0][0]}
    log_weight = torch.cat([log_weight for _, log_weight in blocks])
    assert len(log_weight) == model.enumeration_size()
    torch.testing.assert_close(log_weight.logsumexp(0), exact.log_z(), rtol=1e-9, atol=1e-9)
    joint = (exact.log_joint() + exact.log_dv[:, None] + exact.log_dh - exact.log_z()).exp()
    s, squares = linear(exact.visible, exact.v), quadratic(exact.visible, exact.v)
    p = log_weight.softmax(0)
    torch.testing.assert_close(p @ statistics["b"], joint.sum(1) @ s)
    torch.testing.assert_close(p @ statistics["c"], joint.sum(0) @ exact.t)
    torch.testing.assert_close((p[:, None] * statistics["b"]).T @ statistics["c"], s.T @ joint @ exact.t)
    assert ("a" in statistics) == bool(squares.shape[1])
    if "a" in statistics:
        torch.testing.assert_close(p @ statistics["a"], joint.sum(1) @ squares)


@each_pair
def test_the_density_sums_and_integrates_to_one(pair):
    model, exact = pair_of(pair)
    log_z = likelihood.exact_log_partition(model)
    assert log_z.value == pytest.approx(float(exact.log_z()), abs=1e-9)
    total = (exact.log_dv - model.free_energy(exact.v) - log_z.value).logsumexp(0)
    assert float(total) == pytest.approx(0, abs=1e-9)


def test_the_number_of_configurations_of_wide_layers():
    """2^1100 × ∞ is infinite, though no float holds 2^1100, and the cost of log Z is then that of the other layer."""
    assert Blocks([Bernoulli(1100), Gaussian(1)]).configurations == math.inf
    assert Blocks([Gaussian(1), Bernoulli(1100)]).configurations == math.inf
    assert Blocks([Bernoulli(1100), Categorical(1, 3)]).configurations == 3 * 2**1100
    wide = Blocks([Bernoulli(1100), Gaussian(1)])
    params = {"W": torch.zeros(1101, 2), "b": torch.zeros(1101), "a": torch.full((1,), -0.5), "c": torch.zeros(2)}
    model = RBM.machine(wide, Bernoulli(2), params)
    assert model.enumeration_cost() == 4 * 1101
    log_z = likelihood.exact_log_partition(model.in_double()).value
    assert log_z == pytest.approx(1102 * math.log(2) + 0.5 * math.log(2 * math.pi))


# Pairs without a normaliser -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("hidden", ["u", "r"])
def test_the_normaliser_of_real_pairs_can_be_infinite(hidden):
    """One Gaussian column of conditional variance 1 and one hidden unit: log ∫ e^−F over [−L, L] as L grows.

    With w = 0.5 it comes to rest; with w = 1.5 the exponent −½v² + ½w²v² has the wrong sign, and doubling L adds
    ½(w² − 1)·3L² or so. It is never finite: the growth itself grows.
    """

    def log_z(w, L):
        v = torch.linspace(-L, L, 801, **D64)
        h = torch.linspace(-80 if hidden == "u" else 0, 80, 801, **D64)
        log_f = -0.5 * v**2 + (w * v[:, None] * h - 0.5 * h**2).logsumexp(1)
        return float((log_f + math.log(float((v[1] - v[0]) * (h[1] - h[0])))).logsumexp(0))

    weak, strong = ([log_z(w, L) for L in (5, 10, 20, 40)] for w in (0.5, 1.5))
    assert weak[1] == pytest.approx(weak[3], abs=1e-3)
    growth = np.diff(strong)
    np.testing.assert_allclose(growth, [0.625 * 3 * L**2 for L in (5, 10, 20)], rtol=0.1)


@pytest.mark.parametrize("hidden", ["gaussian", "rectified"])
@pytest.mark.parametrize("visible", ["gaussian", ("gaussian", "bernoulli"), ("bernoulli", "gaussian")])
def test_real_pairs_are_refused(visible, hidden):
    x = np.random.default_rng(0).integers(0, 2, (20, 2)).astype(float)
    with pytest.raises(UsageError, match="no normaliser; take hidden_units='bernoulli' or 'categorical'"):
        RBM(2, visible=visible, hidden_units=hidden, device="cpu").fit(x)


@pytest.mark.parametrize("visible", [5, None, "normal", ("gaussian", "normal"), ["gaussian", "gaussian"]])
def test_visible_must_be_a_kind_or_several(visible):
    with pytest.raises(UsageError, match="visible"):
        RBM(2, visible=visible, hidden_units="gaussian", device="cpu").fit(np.eye(2))


# The gradient ---------------------------------------------------------------------------------------------------------


def gradient(exact: Reference, v: Tensor, centre: tuple[Tensor, Tensor] | None = None) -> dict[str, Tensor]:
    """∇ mean log p(v) by autograd of the brute-force sum, in the ordinary parameters or in the centred ones.

    With ``centre`` = (μ, λ) the parameters are those of the centred energy, b = b′ − Wλ and c = c′ − Wᵀμ, and a move of
    them is written in the ordinary ones.
    """
    mu, lam = centre or (torch.zeros_like(exact.b), torch.zeros_like(exact.c))
    leaves = {k: getattr(exact, k).clone().requires_grad_() for k in ("W", "b", "a", "c")}
    W = leaves["W"]
    b = leaves["b"] + (exact.W - W) @ lam
    c = leaves["c"] + mu @ (exact.W - W)
    machine = replace(exact, W=W, b=b, a=leaves["a"], c=c)
    (machine.log_f(v).mean() - machine.log_z()).backward()
    g = {k: leaf.grad if leaf.grad is not None else torch.zeros_like(leaf) for k, leaf in leaves.items()}
    return {"W": g["W"], "b": g["b"] - g["W"] @ lam, "a": g["a"], "c": g["c"] - mu @ g["W"]}


def moved(model: RBM, principle: Exact, v: Tensor) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """What one step moves by, over the rate, and the offsets that it used."""
    before = {k: p.clone() for k, p in model.params_.items()}
    state = principle.init(model, v, Random(0))
    principle.step(model, state, v, RATE)
    return {k: (p - before[k]) / RATE for k, p in model.params_.items()}, state.offsets


def assert_same(found: dict[str, Tensor], wanted: dict[str, Tensor], tolerance: float = 1e-8) -> None:
    for name, value in found.items():
        torch.testing.assert_close(value, wanted[name], rtol=0, atol=tolerance, msg=lambda m, n=name: f"{n}: {m}")


@each_pair
def test_the_update_of_exact_learning_is_the_gradient(pair):
    model, exact = pair_of(pair)
    v = some_rows(pair_of(pair, seed=1)[1], 7)
    wanted = gradient(exact, v)
    assert all(g.abs().max() > 1e-2 for g in wanted.values() if len(g))
    assert_same(moved(model, Exact(momentum=0, centre=False), v)[0], wanted)


@each_pair
def test_the_centred_update_is_the_gradient_in_the_centred_parameters(pair):
    """Only what the weights couple is centred: quadratic parameters move along their plain gradient."""
    model, exact = pair_of(pair)
    v = some_rows(pair_of(pair, seed=1)[1], 7)
    found, offsets = moved(model, Exact(momentum=0, offset_rate=0.2), v)
    assert offsets.keys() == {"b", "c"}
    torch.testing.assert_close(offsets["b"], linear(exact.visible, v).mean(0))
    torch.testing.assert_close(offsets["c"], (exact.hidden_given(v) @ exact.t).mean(0))
    wanted = gradient(exact, v, (offsets["b"], offsets["c"]))
    assert (wanted["W"] - gradient(exact, v)["W"]).abs().max() > 1e-2
    assert_same(found, wanted)


def test_the_gradient_by_finite_differences():
    """Central differences of the mixed machine's mean log-likelihood, entry by entry, independent of autograd."""
    pair = ("mixed", "categorical")
    model, exact = pair_of(pair)
    v, eps = some_rows(pair_of(pair, seed=1)[1], 7), 1e-5
    found, _ = moved(model, Exact(momentum=0, centre=False), v)

    def log_likelihood(**changed):
        machine = replace(exact, **changed)
        return float(machine.log_f(v).mean() - machine.log_z())

    for name in ("W", "b", "a", "c"):
        whole = getattr(exact, name)
        for index in list(np.ndindex(*whole.shape))[::6]:
            up, down = whole.clone(), whole.clone()
            up[index], down[index] = whole[index] + eps, whole[index] - eps
            slope = (log_likelihood(**{name: up}) - log_likelihood(**{name: down})) / (2 * eps)
            assert float(found[name][index]) == pytest.approx(slope, abs=1e-7), (name, index)


def test_widths_stay_between_their_floor_and_the_columns_own():
    """A step of a rate far too high: −1/2σ² ends at a bound, σ at the spread of the base or at the floor."""
    for sign, v in ((1, torch.full((3, 2), 9.0, **D64)), (-1, torch.zeros(3, 2, **D64))):
        model, _ = pair_of(("gaussian", "bernoulli"))
        principle = Exact(momentum=0, centre=False)
        principle.step(model, principle.init(model, v, Random(0)), v, 1e4)
        wanted = -0.3 if sign > 0 else -0.5 / 0.05**2
        torch.testing.assert_close(model.params_["a"], torch.full((2,), wanted, **D64))


@each_pair
def test_a_step_of_contrastive_divergence_leaves_finite_parameters(pair):
    """float32, as it is used, with momentum, centring and decay: shapes and types stay, and nothing is lost."""
    model, exact = pair_of(pair)
    model, v = in_single(model), some_rows(exact, 10).float()
    before = {k: p.clone() for k, p in model.params_.items()}
    principle = CD(steps=2, l2=0.01, momentum=0.5)
    principle.step(model, principle.init(model, v, Random(0)), v, 0.01)
    for name, p in model.params_.items():
        assert p.dtype == torch.float32
        assert p.shape == before[name].shape
        assert p.isfinite().all()
        assert not torch.equal(p, before[name])


# Chains ---------------------------------------------------------------------------------------------------------------


class Scripted:
    """A layer that draws what it is told to, and keeps the natural parameters that it was asked to draw from."""

    def __init__(self, unit, draw):
        self.unit, self.drawn, self.asked = unit, draw, None

    def __getattr__(self, name):
        return getattr(self.unit, name)

    def sample(self, eta, rng):
        self.asked = eta
        return self.drawn.expand(len(eta), -1)


def kernel(model: RBM, exact: Reference, move) -> Tensor:
    """The transition matrix (V, V) of v → h → v′, from the natural parameters that ``move(model, v)`` draws with."""
    s, total = linear(exact.visible, exact.v), torch.zeros(len(exact.v), len(exact.v), **D64)
    for k, h in enumerate(exact.h):
        layers = Scripted(model.visible_unit, exact.v[0]), Scripted(model.hidden_unit, h)
        twin = RBM.machine(*layers, model.params_, model.buffers_["base"])
        move(twin, exact.v)
        p_h = (layers[1].asked @ exact.t.T).softmax(1)[:, k]
        total += p_h[:, None] * (layers[0].asked @ s.T).softmax(1)
    return total


def assert_detailed_balance(matrix: Tensor, log_f: Tensor) -> None:
    p = log_f.softmax(0)
    torch.testing.assert_close(matrix.sum(1), torch.ones_like(p))
    flow = p[:, None] * matrix
    torch.testing.assert_close(flow, flow.T, rtol=0, atol=1e-12)


@each_discrete_pair
def test_a_gibbs_step_is_in_detailed_balance(pair):
    model, exact = pair_of(pair)
    matrix = kernel(model, exact, lambda twin, v: twin.gibbs_step(twin.hidden_natural(v), Random()))
    assert_detailed_balance(matrix, exact.log_f())


@each_beta
@pytest.mark.parametrize("step", ["move", "annealing_step"])
@each_discrete_pair
def test_moves_along_the_path_are_in_detailed_balance(pair, step, beta):
    model, exact = pair_of(pair)

    def move(twin, v):
        twin.move(v, beta, Random()) if step == "move" else twin.annealing_step(v, 0.7, beta, Random())

    assert_detailed_balance(kernel(model, exact, move), exact.at(beta, model.buffers_["base"]).log_f())


def cells(exact: Reference, v: Tensor) -> Tensor:
    """The cell of each row: every discrete value, and three intervals of each Gaussian column, cut between points."""
    x = points("g")[0]
    cuts = torch.stack([(x[k] + x[k + 1]) / 2 for k in (76, 83)])
    index, count = torch.zeros(len(v), dtype=torch.long), 1
    for k, kind in enumerate(exact.visible):
        own = torch.bucketize(v[:, k].contiguous(), cuts) if kind == "g" else v[:, k].long()
        index, count = index + count * own, count * {"b": 2, "c": K, "g": 3}[kind]
    return index


def assert_distributed(exact: Reference, v: Tensor, p: Tensor, what: str = "") -> None:
    """Frequencies of cells, and means of all statistics and of their products, within 4 standard errors of p.

    Power: of 20,000 rows a cell of probability 0.03 may be off by 0.005 at most, one of 0.3 by 0.013; the mean of a
    real column of standard deviation one by 0.03, its second moment by 0.04.
    """
    v = v.double()
    where = cells(exact, exact.v)
    wanted = torch.zeros(int(where.max()) + 1, **D64).index_add_(0, where, p)
    found = torch.bincount(cells(exact, v), minlength=len(wanted)) / len(v)
    stderr = (wanted * (1 - wanted) / len(v)).sqrt().clamp_min(1 / len(v))
    worst = float(((found - wanted) / stderr).abs().max())
    assert worst < 4, f"{what}: a cell is off by {worst:.1f} standard errors"
    on_grid, drawn = moments(exact, exact.v), moments(exact, v)
    mean = p @ on_grid
    variance = (p @ on_grid**2 - mean**2).clamp_min(1e-12)
    worst = float(((drawn.mean(0) - mean) / (variance / len(v)).sqrt()).abs().max())
    assert worst < 4, f"{what}: a moment is off by {worst:.1f} standard errors"


def moments(exact: Reference, v: Tensor) -> Tensor:
    s = linear(exact.visible, v)
    products = torch.einsum("ni,nj->nij", s, s)[:, *torch.triu_indices(s.shape[1], s.shape[1])]
    return torch.cat([s, products], 1)


@each_pair
def test_gibbs_chains_that_start_at_the_model_do_not_drift(pair):
    model, exact = pair_of(pair)
    model, rng, p, v = in_single(model), Random(0), exact.p(), exact.draw(CHAINS, 3).float()
    assert_distributed(exact, v, p, "start")
    eta = model.chain(v, rng)
    for step in range(8):
        v, eta = model.gibbs_step(eta, rng)
        if step % 4 == 3:
            assert_distributed(exact, v, p, f"step {step + 1}")


@each_beta
@each_pair
def test_chains_along_the_path_do_not_drift(pair, beta):
    """``move`` and ``annealing_step`` by turns, with beta as a number and as a column of equal ones."""
    model, exact = pair_of(pair)
    exact = exact.at(beta, model.buffers_["base"])
    model, rng, v = in_single(model), Random(1), exact.draw(CHAINS, 4).float()
    for _ in range(2):
        v = model.move(v, beta, rng)
        log_ratio, v = model.annealing_step(v, beta, beta, rng)
        assert not log_ratio.any()
        v = model.move(v, torch.full((CHAINS, 1), beta), rng)
    assert_distributed(exact, v, exact.p(), f"beta {beta}")


@each_pair
def test_chains_reach_the_model_from_afar(pair):
    """From a single start 20,000 chains are at p(v) after 40 steps: they do move."""
    model, exact = pair_of(pair, scale=0.4)
    v = exact.v[-1:].clamp(-2, 2).float().expand(CHAINS, -1)
    model, rng = in_single(model), Random(2)
    eta = model.chain(v, rng)
    for _ in range(40):
        v, eta = model.gibbs_step(eta, rng)
    assert_distributed(exact, v, exact.p())


@each_pair
def test_clamped_chains_that_start_at_the_conditional_do_not_drift(pair):
    """One column is held fast: a discrete one at 1, or the first of two real ones on a point of the grid."""
    model, exact = pair_of(pair)
    held = next((k for k, c in enumerate(exact.visible) if c != "g"), 0)
    value = 1.0 if exact.visible[held] != "g" else float(points("g")[0][82])
    given = torch.full((len(exact.visible),), math.nan, **D64)
    given[held] = value
    fits = exact.v[:, held] == value
    p = (exact.p() * fits) / (exact.p() * fits).sum()
    v = exact.v[np.random.default_rng(5).choice(len(p), CHAINS, p=p.numpy())].float()
    if exact.visible[held] != "g":
        v = exact.draw(CHAINS, 5, given).float()
    model, rng = in_single(model), Random(3)
    eta = model.chain(v, rng)
    for _ in range(8):
        v, eta = model.gibbs_step(eta, rng, given.float().expand(CHAINS, -1))
    assert bool((v[:, held] == torch.tensor(value).float()).all())
    v = v.double()
    v[:, held] = value
    assert_distributed(exact, v, p)


# The annealing path ---------------------------------------------------------------------------------------------------

LEAPS = [(0.0, 1.0), (0.0, 0.1), (0.4, 0.41), (0.7, 0.2), (1.0, 0.999), (0.5, 0.5)]


@each_pair
def test_the_log_ratio_is_the_difference_along_the_path(pair):
    """With numbers, in both precisions, and by the step that also moves."""
    model, exact = pair_of(pair)
    base, v = model.buffers_["base"], some_rows(exact, 30)
    single = in_single(model)
    for start, end in LEAPS:
        wanted = exact.at(end, base).log_f(v) - exact.at(start, base).log_f(v)
        torch.testing.assert_close(model.log_ratio(v, start, end), wanted, rtol=1e-8, atol=1e-8)
        torch.testing.assert_close(model.annealing_step(v, start, end, Random())[0], wanted, rtol=1e-8, atol=1e-8)
        found = single.annealing_step(v.float(), start, end, Random())[0]
        torch.testing.assert_close(found.double(), wanted, rtol=1e-5, atol=5e-6)


@each_pair
def test_the_log_ratio_of_several_temperatures_side_by_side(pair):
    """Columns of betas, a pair for each row, are the same as row by row."""
    model, exact = pair_of(pair)
    v = some_rows(exact, 6)
    start, end = (torch.tensor(side, **D64).unsqueeze(1) for side in zip(*LEAPS, strict=True))
    rows = [model.log_ratio(v[[k]], *leap) for k, leap in enumerate(LEAPS)]
    torch.testing.assert_close(model.log_ratio(v, start, end), torch.cat(rows))
    found, moved = model.annealing_step(v, start, end, Random())
    torch.testing.assert_close(found, torch.cat(rows))
    assert moved.shape == v.shape
    to_the_end = [model.log_ratio(v[[k]], start, 1.0) for k, (start, _) in enumerate(LEAPS)]
    torch.testing.assert_close(model.log_ratio(v, start, 1.0), torch.cat(to_the_end))


@each_pair
def test_moves_at_several_temperatures_side_by_side(pair):
    """Half of the chains at beta 0.2, half at 0.9, interleaved: each half is distributed as its own temperature is."""
    model, exact = pair_of(pair)
    base, betas = model.buffers_["base"], (0.2, 0.9)
    both = [exact.at(beta, base) for beta in betas]
    v = torch.stack([e.draw(CHAINS, 6) for e in both], 1).flatten(0, 1).float()
    model, rng, column = in_single(model), Random(4), torch.tensor(betas).repeat(CHAINS).unsqueeze(1)
    for _ in range(3):
        v = model.move(v, column, rng)
    for k, e in enumerate(both):
        assert_distributed(e, v[k::2], e.p(), f"beta {betas[k]}")


@each_pair
def test_the_path_begins_at_the_base(pair):
    model, exact = pair_of(pair)
    at_base = exact.at(0.0, model.buffers_["base"])
    assert model.base_log_partition() == pytest.approx(float(at_base.log_z()), abs=1e-9)
    assert_distributed(exact, in_single(model).base_sample(CHAINS, Random(0)), at_base.p(), "base")
    torch.testing.assert_close(model.with_params(model.base_params()).log_f(exact.v), at_base.log_f())


@each_pair
def test_the_uniform_base_favours_nothing(pair):
    """Equal probabilities of all discrete values, and real columns about the same mean with twice the spread."""
    model, exact = pair_of(pair)
    base = model.buffers_["base"].clone()
    uniform = model.with_uniform_base()
    torch.testing.assert_close(model.buffers_["base"], base)  # the model itself is as it was
    b, a = base.split([len(exact.b), len(exact.a)])
    places = [k for k, c in enumerate("".join("ccc" if c == "c" else c for c in exact.visible)) if c == "g"]
    flat = torch.zeros_like(b)
    flat[places] = b[places] / 4
    flat = torch.cat([flat, a / 4])
    torch.testing.assert_close(uniform.buffers_["base"], flat)
    assert uniform.base_log_partition() == pytest.approx(float(exact.at(0.0, flat).log_z()), abs=1e-4)


@each_pair
def test_annealing_finds_log_z(pair):
    """Forward and all three reverse runs within 4 of their own standard errors of the brute-force log Z.

    Power: the standard errors stay below 0.05 nats, while a single leap from the base falls short of log Z by more than
    0.1 nats on average.
    """
    model, exact = pair_of(pair, scale=1.0)
    data, log_z = some_rows(exact, 100).float(), float(exact.log_z())
    found = likelihood.annealed_log_partition(in_single(model), data, Random(0), Annealing(200, 150, 30))
    assert found.verdict == "consistent"
    assert found.low < log_z < found.high < found.low + 0.5
    assert len(found.notes) == 4
    for note in found.notes:
        value, stderr = (float(word) for word in (note.split()[-3], note.split()[-1]))
        assert stderr < 0.05
        assert value == pytest.approx(log_z, abs=4 * stderr + 0.01), note
    at_base = exact.at(0.0, model.buffers_["base"])
    gap = at_base.p() @ (at_base.log_f() - at_base.log_z() - exact.log_f() + exact.log_z())
    assert float(gap) > 0.1


# Divergence -----------------------------------------------------------------------------------------------------------

UNBOUNDED = {
    "real columns": {"visible": "gaussian"},
    "real columns, categories above": {"visible": "gaussian", "hidden_units": "categorical"},
    "a row of two kinds": {"visible": ("gaussian",) * 9 + ("bernoulli",)},
    "gaussian hidden units": {"hidden_units": "gaussian"},
    "rectified hidden units": {"hidden_units": "rectified"},
}


def rows_of(kind, n=300):
    x = np.random.default_rng(0).normal(size=(n, 10))
    bits = {"a row of two kinds": slice(9, 10), "gaussian hidden units": slice(0, 10)}
    at = bits.get(kind, slice(0, 10) if "rectified" in kind else slice(0, 0))
    x[:, at] = x[:, at] > 0
    return x


@pytest.mark.parametrize("kind", UNBOUNDED)
def test_too_high_a_rate_of_unbounded_units_is_never_silent(kind):
    """Either it is said, or the machine is about as good as independent columns: within two nats of twelve."""
    x, said = rows_of(kind), 0
    for rate in (5.0, 50.0):
        model = RBM(20, epochs=10, learning_rate=rate, device="cpu", **UNBOUNDED[kind])
        try:
            model.fit(x)
        except DivergedError:
            said += 1
        else:
            assert model.log_likelihood(x, temperatures=300, burn_in=50).value > model.baseline(x, x).value - 2
    assert said


@pytest.mark.parametrize("rate", [1e-3, 0.05])
@pytest.mark.parametrize("kind", UNBOUNDED)
def test_small_rates_of_unbounded_units_raise_no_alarm(kind, rate):
    for seed in range(3):
        RBM(20, epochs=5, learning_rate=rate, seed=seed, device="cpu", **UNBOUNDED[kind]).fit(rows_of(kind))
