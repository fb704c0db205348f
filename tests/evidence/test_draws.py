"""Draws judged: the verdict is right for planted defects, and quiet about draws that are as good as data."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from pydantic import TypeAdapter
from scipy.fft import dctn, idctn
from scipy.stats import hypergeom

from reverie import HMM, data
from reverie.contract import Estimate
from reverie.data.sequences import objects
from reverie.evidence import character, draws, verdict
from reverie.evidence.draws import About, judge
from reverie.evidence.power import Caught
from reverie.evidence.references import shuffled
from reverie.evidence.resemblance import GAUSSIAN, SHUFFLED, Resemblance, Score
from reverie.evidence.summary import Evidence
from reverie.random import Random

torch.set_num_threads(1)


class Sampler:
    """A model that draws what it is given."""

    seed, labels, sequences, visible = 0, False, False, "gaussian"

    def __init__(self, drawn, y=None):
        self.drawn, self.y, self.labels = drawn, y, y is not None
        self.classes_ = None if y is None else np.unique(y)

    def sample(self, n, *, seed=None):
        return self.drawn[np.arange(n) % len(self.drawn)]

    def predict_proba(self, x):
        return np.eye(len(self.classes_))[np.searchsorted(self.classes_, self.y[np.arange(len(x)) % len(self.y)])]

    def seen(self, x, rng):
        return torch.from_numpy(x)


@pytest.fixture(scope="module")
def digits():
    """Training rows, others that nobody has learned from, and test rows, with their labels."""
    found = data.load("digits", seed=0)
    x, y = found.train.x, found.train.y
    return (x[:400], y[:400]), (x[400:650], y[400:650]), (found.test.x[:200], found.test.y[:200])


def judged(digits, drawn, monkeypatch, y=None, **more):
    monkeypatch.setattr(draws, "power", lambda *arguments, **options: ())
    (train, train_y), _, (test, test_y) = digits
    labels = {"train": train_y, "test": test_y} if y is not None else {"train": None, "test": None}
    return judge(Sampler(drawn, y), {"train": train, "test": test}, labels, About(images=True, **more), most=250)


def test_fresh_data_are_called_good(digits, monkeypatch):
    (x, _) = digits[1]
    found = judged(digits, x, monkeypatch)
    text = verdict.character(found)
    assert text.startswith("Draws resemble the data. No test can tell 200 draws")
    assert "No sign of copying" in text
    assert (found.split, found.n) == ("test", 250)
    assert 0.9 < found.usefulness.kept < 1.1  # pixels are foretold, as there are no labels


def test_next_symbols_are_foretold_from_drawn_sequences(monkeypatch):
    rng = np.random.default_rng(0)

    def chains(n):
        found = np.empty(n, object)
        found[:] = [(rng.integers(12) + np.cumsum(rng.uniform(size=12) < 0.8)) % 12 for _ in range(n)]
        return found

    train, test = chains(400), chains(100)
    monkeypatch.setattr(draws, "power", lambda *arguments, **options: ())
    for drawn, low, high in ((chains(400), 0.9, 1.1), (shuffled(train, 400, Random(0, "shuffled")), -0.1, 0.2)):
        model = Sampler(drawn)
        model.sequences, model.visible = True, "categorical"
        found = judge(model, {"train": train, "test": test}, {"train": None, "test": None}, most=400)
        assert low < found.usefulness.kept < high
        assert "on the next symbol" in found.usefulness.verdict


def test_draws_of_binarised_sequences_are_held_against_bits(monkeypatch):
    """As greys, the data would be told from any draw by their values alone."""
    rng = np.random.default_rng(0)

    def stretches(n):
        dark = [np.cumsum(rng.random(rng.integers(8, 15)) < 0.3) % 2 for _ in range(n)]
        return objects([np.where(z, 0.8, 0.2) + rng.uniform(-0.15, 0.15, len(z)) for z in dark])

    train, test = stretches(150), stretches(100)
    model = HMM(2, visible="bernoulli", binarise="threshold", epochs=30, restarts=1, device="cpu").fit(list(train))
    monkeypatch.setattr(draws, "power", lambda *arguments, **options: ())
    found = judge(model, {"train": train, "test": test}, {"train": None, "test": None}, most=200)
    assert found.resemblance.space.startswith("sequences: shares of 2 symbols")
    assert found.resemblance.score("1-grams").draws.value < 0.1
    assert found.resemblance.score("two-sample accuracy").draws.low < 0.6
    assert "on the next symbol" in found.usefulness.verdict
    assert not found.memorisation.alarm


@pytest.mark.parametrize(
    ("visible", "steps", "kind"),
    [
        (None, np.zeros(3, np.int64), "categorical"),
        (None, np.zeros(3), "gaussian"),
        (None, np.zeros((3, 2), np.int64), "gaussian"),
        ("categorical", np.zeros(3), "categorical"),
        ("integer", np.zeros(3, np.int64), "integer"),
    ],
)
def test_what_columns_of_sequences_are_is_asked_of_the_model(visible, steps, kind):
    steps[1] = 1
    model = HMM(1, visible=visible, epochs=1, device="cpu").fit([steps, steps])
    assert draws.taken_for(model) == kind


def test_a_dropped_mode_is_named(digits, monkeypatch):
    x, y = digits[1]
    found = judged(digits, x[y != 3], monkeypatch, y[y != 3])
    text = verdict.character(found)
    assert text.startswith("Draws miss 1 of 10 parts of the data: label 3 (")
    assert "copies" not in text.split("No sign")[0]
    assert found.usefulness is not None
    assert 0.7 < found.usefulness.kept < 1  # nothing was learned of one label in ten


def test_a_mode_is_missed_without_labels(digits, monkeypatch):
    x, y = digits[1]
    collapsed = judged(digits, x[np.isin(y, (0, 6))], monkeypatch)
    assert verdict.character(collapsed).startswith("Draws miss ")
    assert "Tests can tell" in verdict.character(collapsed)


def test_copies_are_named(digits, monkeypatch):
    (train, _), (x, _), _ = digits
    found = judged(
        digits, np.concatenate([train[:125], x[:125]])[np.random.default_rng(0).permutation(250)], monkeypatch
    )
    text = verdict.character(found)
    assert text.startswith("The model copies: about ")
    copied = found.memorisation.near.copied
    assert copied.low < 0.5 < copied.high


def test_blur_is_named(digits, monkeypatch):
    x = digits[1][0].astype(np.float64)
    near = (x + np.roll(x, 1, 1) + np.roll(x, -1, 1) + np.roll(x, 1, 2) + np.roll(x, -1, 2)) / 5
    assert verdict.character(judged(digits, near, monkeypatch)).startswith("Draws are blurred: ")


def test_noise_lies_where_no_data_lie(digits, monkeypatch):
    floor = shuffled(digits[0][0], 250, Random(0, "test"))
    text = verdict.character(judged(digits, floor, monkeypatch))
    assert "Draws stray from the data: " in text
    assert "resemble the data" not in text


def test_the_test_that_tells_is_named_where_the_classifier_does_not(digits, monkeypatch):
    """A classifier that is right no more often than about real examples is no reason to call draws told apart."""
    found = judged(digits, shuffled(digits[0][0], 250, Random(0, "test")), monkeypatch).resemblance
    assert "Tests can tell 200 draws" in verdict._told(found)
    scores = tuple(replace(s, p=0.5 if s.name == verdict.TELL else s.p) for s in found.scores)
    text = verdict._told(replace(found, scores=scores))
    assert text.startswith("A test of ")
    assert "bins that differ (p = 0." in text
    assert "A classifier cannot: it is right about " in text
    scores = tuple(replace(s, p=None if s.p is None else 0.5) for s in found.scores)
    assert verdict._told(replace(found, scores=scores)).startswith("No test can tell 200 draws")


@pytest.mark.parametrize(("low", "high"), [(0.0, 0.3), (0.1, 0.4)])
def test_nearness_alone_is_an_alarm_and_no_copying(low, high, digits, monkeypatch):
    """However large the share may be: one honest model in twenty raises it, and copies there are none to show."""
    found = judged(digits, digits[1][0], monkeypatch)
    copied = found.memorisation
    nearer = replace(copied.nearer, p=0.01, copied=replace(copied.nearer.copied, low=low, value=0.2, high=high))
    alarmed = replace(copied, near=replace(copied.near, p=0.5), nearer=nearer)
    assert alarmed.alarm
    assert not alarmed.copies
    text = verdict.character(replace(found, memorisation=alarmed))
    assert text.startswith("Draws resemble the data.")
    assert "copies" not in text.split("A test for copies raises an alarm (p = 0.01): ")[0]
    assert f"no proof of copies ({low:.0%} to {high:.0%} of the draws may be some): near copies are " in text
    assert text.endswith("up to one honest model in 20 raises such an alarm.")


def test_near_copies_that_chance_may_make_are_an_alarm_and_no_copying(digits, monkeypatch):
    copied = judged(digits, digits[1][0], monkeypatch).memorisation
    few = replace(copied.near, p=0.01, copied=replace(copied.near.copied, low=0.03, value=0.1, high=0.2))
    alarmed = replace(copied, near=few)
    assert "of the draws nearly equal a training example, as " in alarmed.verdict
    assert "(3% to 20% of the draws may be some): up to one honest model in 20" in alarmed.verdict
    sure = replace(copied, near=replace(few, p=0.0005))
    assert sure.verdict.startswith("The model copies: about 10.0% (3.0% to 20.0%) of the draws repeat")
    assert verdict.character(replace(judged(digits, digits[1][0], monkeypatch), memorisation=sure)).startswith(
        "The model copies"
    )


def test_evidence_comes_back_from_json_and_old_evidence_is_read(digits, monkeypatch):
    x, y = digits[1]
    found = judged(digits, x, monkeypatch, y)
    adapter = TypeAdapter(Evidence)
    evidence = Evidence((), verdict.verdict((), None, found, ("D has won",)), "sum", {}, found, ("D has won",))
    assert evidence.verdict.endswith("In training: D has won.")
    text = adapter.dump_json(evidence)
    assert adapter.validate_json(text) == evidence
    old = {name: value for name, value in json.loads(text).items() if name not in ("draws", "diagnosis")}
    assert adapter.validate_python(old).draws is None


def test_the_least_that_is_caught_is_said():
    rng = np.random.default_rng(0)
    rows = [rng.normal(size=(n, 3)) for n in (600, 200, 200)]
    found = judge(
        Sampler(rows[2]), {"train": rows[0], "test": rows[1]}, {"train": None, "test": None}, About(table=True)
    )
    assert {c.defect for c in found.power} == {"dropped mode", "repeated example", "shifted column"}
    assert {c.n for c in found.power} == {found.resemblance.n} == {200}
    copies, shift = found.power[1:]
    assert 1 / 32 < copies.strength < 1
    assert 1 / 8 < shift.strength < 1  # three standard errors of a difference of means are 0.3
    said = f"{copies.strength:.0%} repeated copies, a column shifted by {shift.strength:g} standard deviations."
    assert said in verdict.caught(found)
    assert len(found.usefulness.lessons) == 3


def test_without_draws_or_examples_there_is_nothing_to_judge():
    x = np.zeros((20, 2))
    none = {"train": None, "test": None}
    assert judge(object(), {"train": x, "test": x}, none) is None
    assert judge(Sampler(x), {"train": x, "test": x[:9]}, none) is None
    assert judge(Sampler(x), {"train": x, "test": x}, none, most=0) is None


def test_a_label_that_is_not_among_as_many_rows_as_there_are_draws_is_not_foretold():
    rng, y = np.random.default_rng(0), np.zeros(5_000, bool)
    y[Random(0, "draws/learned from").permutation(5_000)[-1]] = True
    x = rng.normal(size=(5_000, 2))
    model = Sampler(x[:500], y[:500])
    found = judge(model, {"train": x, "test": x[:50]}, {"train": y, "test": y[:50]}, plant=False)
    assert found.usefulness is None


def test_a_part_is_missing_by_fishers_exact_test():
    train = np.repeat(np.eye(4), 10, 0)
    held_out, drawn = np.repeat(np.eye(4), 30, 0), np.repeat(np.eye(4)[:3], 40, 0)
    found = character.parts(train, held_out, drawn, np.repeat(list("abcd"), 10))
    gone = next(part for part in found if part.name == "label d")
    assert [part.name for part in found if part.missing] == ["label d"]
    assert gone.p == pytest.approx(hypergeom(240, 30, 120).cdf(0))
    assert (gone.draws.value, gone.held_out.value) == (0, 0.25)


def test_honest_draws_hardly_ever_miss_a_part():
    rng, missed = np.random.default_rng(0), 0
    for _ in range(200):
        train, held_out, drawn = (rng.normal(size=(n, 2)) for n in (40, 60, 60))
        missed += any(p.missing for p in character.parts(train, held_out, drawn, np.arange(40) % 5))
    assert missed <= 4


def test_sharpness_is_that_of_the_differences_by_the_contrast():
    rng = np.random.default_rng(0)
    real = rng.normal(size=(200, 6, 5))
    x = rng.normal(size=(150, 6, 5)).cumsum(2)
    found = character.sharpness(real, x, real, 2 * real)
    expected = [
        (np.square(np.diff(a, axis=1)).mean() + np.square(np.diff(a, axis=2)).mean()) / a.var((1, 2)).mean()
        for a in (x, real)
    ]
    assert found.draws.value == pytest.approx(expected[0] / expected[1])
    assert (found.training.value, found.shuffled.value) == pytest.approx((1.0, 1.0))
    assert found.blurred
    assert not found.rough
    assert character.sharpness(np.ones((9, 5, 5)), real, real, real) is None
    assert character.sharpness(real, np.ones((9, 5, 5)), real, real).draws.value == 0  # without any contrast


def test_the_interval_of_sharpness_holds_the_true_ratio():
    """Of 95 % of sets of images that are alike, whose contrasts vary."""
    rng, inside = np.random.default_rng(0), 0
    for _ in range(300):
        real, drawn = (rng.normal(size=(80, 6, 5)) * rng.lognormal(0, 0.3, (80, 1, 1)) for _ in range(2))
        found = character.sharpness(real, drawn, real, real).draws
        inside += found.low < 1 < found.high
    assert inside >= 270  # 95 % of 300 less four standard errors


def planted(x, how):
    """Greys, spoiled; all strengths are of white."""
    rng, white = np.random.default_rng(0), x.max()
    x = x / white
    wide = np.pad(x, ((0, 0), (1, 1), (1, 1)), mode="edge")
    spoiled = {
        "blurred": lambda: sum(wide[:, a : a + 8, b : b + 8] for a in range(3) for b in range(3)) / 9,
        "faint noise": lambda: x + rng.normal(0, 0.05, x.shape),
        "noise": lambda: x + rng.normal(0, 0.3, x.shape),
        "rounded": lambda: np.clip(idctn(0.2 * np.rint(dctn(x, axes=(1, 2)) / 0.2), axes=(1, 2)), 0, 1),
        "bits": lambda: np.float64(x > 0.5),
        "pale": lambda: 0.8 * x,
        "pale with faint noise": lambda: np.clip(0.8 * x + rng.normal(0, 0.05, x.shape), 0, 1),
        "some empty": lambda: x * (rng.random(len(x)) < 0.7)[:, None, None],
    }
    return white * spoiled[how]()


@pytest.mark.parametrize(
    ("how", "blurred", "rough"),
    [
        ("blurred", True, False),
        ("faint noise", False, False),
        ("noise", False, True),
        ("rounded", False, False),
        ("bits", False, True),
        ("pale", False, False),
        ("pale with faint noise", False, False),
        ("some empty", False, False),
    ],
)
def test_only_blur_is_called_blur(digits, how, blurred, rough):
    """Neither noise nor hard edges nor rounding, nor a lack of contrast."""
    (train, _), (x, _), (test, _) = digits
    floor = shuffled(train, 200, Random(0, "test"))
    found = character.sharpness(test, planted(x.astype(np.float64), how), train, floor)
    assert (found.blurred, found.rough) == (blurred, rough), found.draws


def test_draws_of_a_table_are_rounded_as_they_are_written():
    train = np.array([[0.5, 1, 7, 2], [0.1, 0, 9, 4], [0.2, 1, 7, np.nan]])
    drawn = np.array([[0.33, 0.7, 7.9, 2.4], [0.2, 0.1, 8.4, np.nan]])
    found = draws.as_written(drawn, train, ("gaussian", "bernoulli", "categorical", "integer"))
    assert np.array_equal(found, [[0.33, 1, 7, 2], [0.2, 0, 9, np.nan]], equal_nan=True)


def test_a_likelihood_with_noise_is_told_of_and_not_denied():
    """Where it is defined; where it is not, nothing was measured of the likelihood."""
    from reverie.evidence.summary import Figure

    def figure(name, role, value, kind="lower bound"):
        found = Estimate(value, value, value, 0.5, kind, "annealing", "noise on R^2", 8, verdict="sandwiched")
        return Figure(name, "test", role, found, "seeded")

    floor = figure("mean example with noise", "baseline", -9.0)
    said = verdict.verdict([figure("log-likelihood with noise", "detail", -7.0), floor], {"test": 0.0})
    assert "8 test examples get -7.00" in said
    assert "mean example with noise, -9.00" in said
    undefined = figure("log-likelihood with noise", "detail", float("nan"), "not defined")
    assert "nothing was measured" in verdict.verdict([undefined], {"test": 0.0})


def test_near_copies_are_those_beyond_what_held_out_examples_have(monkeypatch):
    """A table in which a third of honest rows is that near has about none."""
    from reverie.evidence import named
    from reverie.evidence.memorisation import memorisation

    rng = np.random.default_rng(0)
    sets = [rng.normal(size=(300, 1)) for _ in range(3)]
    found = memorisation(*sets)
    assert found.near.honest.value > 0.2
    alike = type("Alike", (), {"scores": ()})()
    drawn = draws.Draws("test", 300, alike, found, None, (), (), None)
    assert abs(named.of_draws(drawn)[named.COPIES].value) < 0.2 < found.near.draws.value


def test_a_planted_defect_says_what_its_strength_is_of():
    def power(*strengths):
        caught = [Caught(name, strength, "", 100, 3) for name, strength in zip(verdict.PLANTED, strengths, strict=True)]
        return verdict.caught(type("Drawn", (), {"power": tuple(caught)})())

    assert power(1 / 4, 1 / 16, 1 / 8, 1 / 32) == (
        "Planted in real examples, the least that such tests catch is: a mode of which 25% is dropped, 6% repeated "
        "copies, pixels blurred by 12%, a column shifted by 0.03 standard deviations."
    )
    assert "a mode that is dropped altogether, 6% repeated" in power(1.0, 1 / 16, 1 / 8, 1 / 32)
    assert "No mode could be dropped" not in power(None, 1 / 16, 1 / 8, 1 / 32)
    none = type("Drawn", (), {"power": (Caught("shifted column", 1 / 4, "", 100, 3),)})()
    assert verdict.caught(none) == (
        "Planted in real examples, the least that such tests catch is: a column shifted by 0.25 standard deviations. "
        "No mode could be dropped: too few real examples lie outside any."
    )
    assert power(None, 1 / 16, 1 / 8, None).endswith(
        "They do not catch a mode that is dropped altogether or a column shifted by a standard deviation, planted in "
        "real examples."
    )


def graded(value, floor=0.5, ceiling=0.97):
    def share(v):
        return Estimate(v, v - 0.01, v + 0.01, 0.005, "estimate", "", "", 500, "share")

    scores = [
        Score(name, "higher", share(value), share(ceiling), {SHUFFLED: share(floor), GAUSSIAN: share(floor - 0.1)})
        for name in ("precision", "coverage")
    ]
    alike = Resemblance(tuple(scores), (), "", 500, 0)
    return verdict._astray(alike), verdict._narrow(alike)


@pytest.mark.parametrize(
    ("value", "floor", "little"),
    [
        (0.91, 0.5, True),  # 87 % of the way
        (0.91, 0.9, True),  # little of the way, but little is missing
        (0.86, 0.2, True),
        (0.80, 0.5, False),
        (0.3, 0.5, False),
    ],
)
def test_what_falls_short_is_said_by_how_far(value, floor, little):
    astray, narrow = graded(value, floor)
    assert astray.startswith("Draws stray a little from the data: " if little else "Draws stray from the data: ")
    assert narrow.startswith(f"Draws reach {'a little less' if little else 'only a part'} of the data")
    assert graded(0.93) == ("", "")  # not worth a word
