"""Hidden pixels and next steps: the data's own draws keep all, shuffled ones nothing, spoiled ones something."""

from __future__ import annotations

import json
from collections import Counter
from itertools import pairwise

import numpy as np
import pytest

from reverie import HMM
from reverie.data.sequences import objects
from reverie.evidence import foretelling
from reverie.evidence.draws import judge
from reverie.evidence.foretelling import EXPLAINED_STEPS, STEPS, next_steps, pixels
from reverie.evidence.references import shuffled
from reverie.evidence.utility import EXPLAINED, SHARE
from reverie.random import Random


def images(rng, n, side=9, bits=False):
    """Smooth noise: neighbours two pixels apart still have much in common."""
    x = rng.normal(size=(n, side + 4, side + 4))
    for axis in (1, 2):
        x = sum(x.take(range(k, k + x.shape[axis] - 4), axis) for k in range(5))
    return (x > 0) * 1 if bits else x


def words(rng, n, noise=0.2):
    """Chains on five symbols: usually the last symbol but one and the last added, modulo five."""
    found = np.empty(n, object)
    for k in range(n):
        s = list(rng.integers(0, 5, 2))
        for _ in range(rng.integers(3, 20)):
            s.append(rng.integers(0, 5) if rng.uniform() < noise else (s[-1] + s[-2]) % 5)
        found[k] = np.array(s)
    return found


def waves(rng, n, noise=0.3):
    """An oscillation with noise, seen in two columns, and a third column of nothing but noise."""
    found = np.empty(n, object)
    for k in range(n):
        x = [rng.normal(size=2), rng.normal(size=2)]
        for _ in range(rng.integers(5, 30)):
            x.append(1.5 * x[-1] - 0.9 * x[-2] + noise * rng.normal(size=2))
        found[k] = np.concatenate([np.array(x), rng.normal(size=(len(x), 1))], 1)
    return found


MADE = {"pixels": images, "words": words, "waves": waves}
ASKED = {"pixels": pixels, "words": next_steps, "waves": next_steps}
UNIT = {"pixels": EXPLAINED, "words": STEPS, "waves": EXPLAINED_STEPS}


@pytest.mark.parametrize("what", MADE)
def test_honest_draws_keep_all_and_shuffled_ones_nothing(what):
    rng, make, ask = np.random.default_rng(0), MADE[what], ASKED[what]
    train, draws, test = (make(rng, 300) for _ in range(3))
    honest = ask(train, draws, test)
    for one in honest.lessons:
        if one.kept is not None:
            assert abs(one.kept.value - 1) < 4 * one.kept.stderr + 0.05
            assert one.real.unit == UNIT[what]
    assert 0.9 < honest.kept < 1.1
    itself = ask(train, train, test)
    assert itself.kept == pytest.approx(1, abs=1e-9)
    nothing = ask(train, shuffled(train, 300, Random(0, "test")), test)
    assert nothing.kept < 0.1
    between = np.concatenate([draws[:60], shuffled(train, 240, Random(1, "test"))])
    assert nothing.kept + 0.1 < ask(train, between, test).kept < 0.9
    assert honest.verdict.startswith(f"Draws teach {honest.kept:.0%} of what as many real examples teach")
    assert json.loads(json.dumps(honest.as_dict()))["rows"] == 300


def test_bits_are_told_right_or_wrong():
    rng = np.random.default_rng(0)
    train, draws, test = (images(rng, 400, bits=True) for _ in range(3))
    found = pixels(train, draws, test, bits=True)
    assert {one.real.unit for one in found.lessons} == {SHARE}
    assert found.lessons[0].real.value > found.lessons[0].commonest.value + 0.1
    assert 0.85 < found.kept < 1.1


def test_pixels_are_those_that_vary_apart_from_each_other_and_hidden_with_their_block():
    """An image whose pixels have nothing in common but with their direct neighbours teaches nothing."""
    rng = np.random.default_rng(0)
    variance = rng.uniform(size=(28, 28, 3))
    found = foretelling._spread(variance)
    assert len(found) == 20
    assert tuple(np.unravel_index(variance.argmax(), variance.shape)) in found
    gaps = [max(abs(a - c), abs(b - d)) for k, (a, b, _) in enumerate(found) for c, d, _ in found[:k]]
    assert min(gaps) >= 5
    assert foretelling._spread(np.zeros((8, 8, 1))) == []
    pairs = [np.repeat(rng.normal(size=(400, 8, 4)), 2, 2) for _ in range(3)]  # each pixel twice, side by side
    assert pixels(*pairs).kept is None


def test_ridge_is_that_of_scikit_learn():
    from sklearn.linear_model import Ridge

    rng = np.random.default_rng(0)
    x, asked = images(rng, 80).reshape(80, -1), images(rng, 20).reshape(20, -1)
    seen = foretelling._grid(9, 9, 1)
    said = foretelling._filled(x, asked, seen, [(4, 4, 0)], (9, 9, 1))[:, 0]
    outside = np.abs(seen[:, :2] - 4).max(1) > 1
    peer = Ridge(alpha=0.1 * x.var(0).mean() * len(x)).fit(x[:, outside], x[:, 40])
    assert said == pytest.approx(peer.predict(asked[:, outside]), rel=1e-6, abs=1e-6)
    y = rng.normal(size=(80, 2))
    peer = Ridge(alpha=1e-3 * 80).fit(x, y)
    assert foretelling._ridge(x, y, asked) == pytest.approx(peer.predict(asked), rel=1e-5, abs=1e-5)


def walks(rng, n):
    """Random walks on whole numbers."""
    return objects([20 + np.cumsum(rng.integers(-2, 3, T)) for T in rng.integers(8, 15, n)])


@pytest.mark.parametrize(
    ("visible", "unit"), [("integer", EXPLAINED_STEPS), ("gaussian", EXPLAINED_STEPS), (None, STEPS)]
)
def test_whole_numbers_are_what_the_model_takes_them_for(visible, unit):
    rng = np.random.default_rng(0)
    train, test = walks(rng, 100), walks(rng, 20)
    model = HMM(3, visible=visible, epochs=5, restarts=1, device="cpu").fit(train)
    found = judge(model, {"train": train, "test": test}, {"train": None, "test": None}, plant=False).usefulness
    assert [one.real.unit for one in found.lessons] == [unit]


def test_codes_are_symbols_whatever_they_come_in():
    rng = np.random.default_rng(0)
    sets = [words(rng, 100) for _ in range(3)]
    columns = [objects([s.astype(float)[:, None] for s in some]) for some in sets]
    found, same = next_steps(*columns, kinds="categorical"), next_steps(*sets)
    assert found.lessons == same.lessons
    for some in columns:  # a gap is no symbol, and no answer
        for s in some:
            s[rng.uniform(size=s.shape) < 0.1] = np.nan
    assert 0.8 < next_steps(*columns, kinds="categorical").kept < 1.2
    mixed = [
        objects([np.concatenate([w, w > 0, rng.integers(0, 4, (len(w), 1))], 1) for w in waves(rng, 50)]) for _ in sets
    ]
    kinds = ("gaussian",) * 3 + ("bernoulli",) * 3 + ("categorical",)
    assert [one.target for one in next_steps(*mixed, kinds=kinds).lessons] == [
        f"the next step's column {k}" for k in range(1, 7)
    ]


def test_what_nobody_has_seen_is_never_right():
    rng = np.random.default_rng(0)
    strange = objects([s + 50 for s in words(rng, 100)])
    found = next_steps(words(rng, 100), strange, objects([np.concatenate([s, s + 50]) for s in words(rng, 100)]))
    assert found.lessons[0].synthetic.value == 0
    assert found.lessons[0].real.value > 0.1


@pytest.mark.parametrize(("ours", "theirs"), [(20, 3), (3, 20), (7, 7)])
def test_as_many_steps_are_learned_from_draws_as_from_real_sequences(ours, theirs, monkeypatch):
    given = {}
    monkeypatch.setattr(foretelling, "_symbols", lambda sources, *rest: given.update(sources) or [])
    rng = np.random.default_rng(0)
    train, draws = (objects([rng.integers(0, 5, T) for _ in range(30)]) for T in (ours, theirs))
    next_steps(train, draws, train)
    counts = {name: sum(len(s) - 1 for s in some) for name, some in given.items()}
    assert counts["real"] == counts["synthetic"] == 30 * (min(ours, theirs) - 1)
    pairs = {pair for s in draws for pair in pairwise(s)}
    assert {pair for s in given["synthetic"] for pair in pairwise(s)} <= pairs  # beginnings, nothing put together


def test_all_test_sequences_are_asked_about():
    """However few there are to learn from: to ask of more costs nothing, and errors are smaller."""
    rng = np.random.default_rng(0)
    found = next_steps(words(rng, 300), words(rng, 40), words(rng, 200))
    assert (found.rows, found.lessons[0].real.n) == (40, 200)


def test_the_longest_context_seen_five_times_answers():
    """Against counting by hand, for each question."""
    rng = np.random.default_rng(0)
    train, asked = words(rng, 60, noise=0.5), words(rng, 20, noise=0.5)
    known = np.arange(5)
    said = foretelling._backed_off(*foretelling._windows(train, known), foretelling._windows(asked, known)[0], 7)
    padded = [[None, None, None, *s] for s in train]
    after: dict[tuple, Counter] = {}
    for s in padded:
        for t in range(4, len(s)):
            for order in range(4):
                after.setdefault(tuple(s[t - order : t]), Counter())[s[t]] += 1
    place = 0
    for s in ([None, None, None, *s] for s in asked):
        for t in range(4, len(s)):
            best = next(c for k in (3, 2, 1, 0) if (c := after.get(tuple(s[t - k : t]), Counter())).total() >= 5)
            assert best[said[place] - 1] == max(best.values())
            place += 1
    assert place == len(said)


def test_strange_symbols_are_never_right_and_gaps_are_left_out():
    rng = np.random.default_rng(0)
    train, draws, test = (words(rng, 100) for _ in range(3))
    strange = np.array([s + 50 for s in draws], dtype=object)
    assert next_steps(train, strange, test).lessons[0].synthetic.value == 0
    with_gaps = [waves(rng, 200) for _ in range(3)]
    for some in with_gaps:
        for s in some:
            s[rng.uniform(size=s.shape) < 0.1] = np.nan
    assert 0.85 < next_steps(*with_gaps).kept < 1.15
    holes = [images(rng, 100) for _ in range(3)]
    holes[0][:60, 4, 4] = np.nan
    assert pixels(*holes).rows == 40
    holes[2][:, 4, 4] = np.nan
    assert pixels(*holes) is None


@pytest.mark.parametrize("what", MADE)
def test_too_little_or_nothing_to_learn_says_so(what):
    rng, make, ask = np.random.default_rng(0), MADE[what], ASKED[what]
    few, many = make(rng, 5), make(rng, 50)
    for sets in ((few, many, many), (many, few, many), (many, many, few)):
        assert ask(*sets) is None
    same = np.repeat(many[:1], 50, 0) if what == "pixels" else np.array([None] * 50, object)
    if what != "pixels":
        same[:] = [np.zeros_like(many[0])] * 50
    assert ask(same, same, same) is None
    constant = ask(many, same, many)  # a model that always draws the same
    assert constant is None or constant.kept is None or constant.kept < 0.2
    if what != "pixels":
        short = np.empty(50, object)
        short[:] = [s[:1] for s in many]
        assert ask(short, short, short) is None


def test_colours_and_large_images(monkeypatch):
    rng = np.random.default_rng(0)
    monkeypatch.setattr(foretelling, "_PIXELS_SEEN", 100)
    train, draws, test = (np.stack([images(rng, 100, 16)] * 3, 3) for _ in range(3))
    found = pixels(train, draws, test)
    assert "channel" in found.lessons[0].target
    assert len(foretelling._grid(16, 16, 3)) <= 100
    assert found.of == 768
