"""What draws teach, where it is known how much they can: the data's own, shuffled ones, mixtures of both, one label."""

from __future__ import annotations

import json

import numpy as np
import pytest

from reverie.errors import DataError, UsageError
from reverie.evidence.utility import EXPLAINED, SHARE, foretold, kept, usefulness

KINDS = ["gaussian", "bernoulli", "categorical", "gaussian"]


def labelled(rng, n):
    """Three classes with means two standard deviations from the origin."""
    y = rng.integers(0, 3, n)
    return rng.normal(size=(n, 6)) + 2 * np.eye(3, 6)[y], np.array(["a", "b", "c"])[y]


def table(rng, n):
    """A number, a bit and a category, and a number that is nearly a sum of them."""
    a, c = rng.normal(size=n), rng.integers(0, 4, n)
    b = (a + 0.5 * rng.normal(size=n) > 0) * 1.0
    return np.stack([a, b, c, 2 * a + c + 0.3 * rng.normal(size=n)], 1)


def shuffled(rng, *columns):
    return tuple(c[rng.permutation(len(c))] for c in columns)


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def test_the_data_themselves_teach_everything(rng):
    train, test = labelled(rng, 300), labelled(rng, 300)
    found = usefulness(train, train, test)
    assert [lesson.learner for lesson in found.lessons] == ["linear classifier", "nearest neighbours"]
    for lesson in found.lessons:
        # The same rows in another order: ties among neighbours, and the last digits of weights, may differ.
        assert lesson.synthetic.value == pytest.approx(lesson.real.value, abs=0.01)
        assert lesson.kept.value == pytest.approx(1, abs=0.02)
    assert found.kept == pytest.approx(1, abs=0.02)


def test_scores_are_those_of_the_classifier_by_hand(rng):
    """A single column that the label can be read from, and what the commonest label gets."""
    y, y_test = rng.permutation([0] * 60 + [1] * 40), rng.permutation([0] * 70 + [1] * 30)
    train, test = (10.0 * y[:, None] + rng.normal(size=(100, 1)), y), (10.0 * y_test[:, None], y_test)
    upside_down = train[0], 1 - y
    for lesson in usefulness(train, upside_down, test).lessons:
        assert (lesson.real.value, lesson.synthetic.value, lesson.commonest.value) == (1, 0, 0.7)
        assert lesson.kept.value < -1


def test_honest_draws_keep_about_all_and_shuffled_ones_nothing():
    """20 sets of each. An honest model lies around 1, one of shuffled columns around 0 or below."""
    rng = np.random.default_rng(1)
    honest, nothing = [], []
    for seed in range(20):
        train, test, draws = labelled(rng, 200), labelled(rng, 400), labelled(rng, 200)
        honest.append([lesson.kept.value for lesson in usefulness(train, draws, test, seed=seed).lessons])
        none = usefulness(train, shuffled(rng, *draws), test, seed=seed)
        nothing.append([lesson.kept.value for lesson in none.lessons])
    honest = np.array(honest)
    errors = honest.std(0, ddof=1) / np.sqrt(len(honest))
    assert (np.abs(honest.mean(0) - 1) < 4 * errors + 0.005).all()
    assert (np.mean(nothing, 0) < 0.1).all()


def test_the_interval_says_what_other_test_examples_would_give():
    """Learners held fixed, 400 test sets: the truth, from very many examples, lies in 95 % of the intervals."""
    rng = np.random.default_rng(0)
    sides = {"synthetic": 0.7, "real": 0.8, "floor": 0.4}

    def scores(n):
        u = rng.uniform(size=n)  # one difficulty for all three, as for learners that see the same example
        return {name: (0.5 * u + 0.5 * rng.uniform(size=n) < p).astype(float) for name, p in sides.items()}

    many = {name: s.mean() for name, s in scores(2_000_000).items()}
    truth = (many["synthetic"] - many["floor"]) / (many["real"] - many["floor"])
    found = [kept(**scores(300)) for _ in range(400)]
    inside = np.mean([e.low <= truth <= e.high for e in found])
    assert 0.92 <= inside <= 0.98


def test_draws_that_know_half_lie_between(rng):
    """Labels wrong for most of the draws: worse than the ceiling, better than the floor, by more than chance."""
    train, test = labelled(rng, 400), labelled(rng, 500)
    x, y = labelled(rng, 400)
    wrong = np.where(rng.uniform(size=400) < 0.6, rng.choice(["a", "b", "c"], 400), y)
    neighbours = usefulness(train, (x, wrong), test).lessons[1]
    assert neighbours.kept.low > 0
    assert neighbours.kept.high < 1


def test_draws_of_a_single_label_teach_to_say_it(rng):
    train, test = labelled(rng, 200), labelled(rng, 200)
    found = usefulness(train, (train[0], np.full(200, "b")), test)
    for lesson in found.lessons:
        assert lesson.synthetic.value == (test[1] == "b").mean()
    assert found.kept < 0.1


def test_where_nothing_can_be_learned_nothing_is_said(rng):
    train, draws, test = ((rng.normal(size=(n, 3)), np.arange(n) % 2) for n in (200, 200, 100))
    found = usefulness(train, draws, test)
    assert found.kept is None
    assert found.verdict.startswith("Real examples teach no more")


def test_learners_get_as_many_rows_of_each(rng):
    told = []
    found = usefulness(
        labelled(rng, 200), labelled(rng, 120), labelled(rng, 90), "a space", report=lambda *step: told.append(step)
    )
    assert found.rows == 120
    assert {e.n for e in (found.lessons[0].real, found.lessons[0].synthetic)} == {90}
    assert found.lessons[0].synthetic.base_measure == "a space"
    assert told == [("learning from draws", k, 3) for k in (1, 2, 3)]


def test_columns_are_foretold_from_the_others(rng):
    train, test, draws = table(rng, 300), table(rng, 300), table(rng, 300)
    found = foretold(train, draws, test, KINDS, ["a", "b", "c", "sum"])
    by = {lesson.target: lesson for lesson in found.lessons}
    assert list(by) == ["a", "b", "c", "sum"]
    assert [by[name].synthetic.unit for name in by] == [EXPLAINED, SHARE, SHARE, EXPLAINED]
    assert min(by[name].real.value for name in ("a", "sum")) > 0.8
    assert by["a"].commonest.value == pytest.approx(0, abs=1e-9)
    assert by["c"].commonest.value == (test[:, 2] == np.bincount(train[:, 2].astype(int)).argmax()).mean()
    assert 0.9 < found.kept < 1.1
    assert json.loads(json.dumps(found.as_dict()))["verdict"] == found.verdict


def test_shuffled_columns_foretell_nothing(rng):
    train, test = table(rng, 300), table(rng, 300)
    found = foretold(train, np.stack(shuffled(rng, *train.T), 1), test, KINDS)
    assert found.kept < 0.3
    assert found.lessons[3].kept.high < 0.5


def test_a_constant_model_foretells_nothing(rng):
    found = foretold(table(rng, 150), np.zeros((150, 4)), table(rng, 150), KINDS)
    assert found.kept < 0.2


def test_the_explained_share_is_r_squared():
    """Against scikit-learn's own, around the training mean as the test examples' own lies there, too."""
    from sklearn.metrics import r2_score

    from reverie.evidence import utility

    rng = np.random.default_rng(0)
    truth, said = rng.normal(size=50), rng.normal(size=50)
    scores = utility.scores(said, truth, float(truth.mean()), number=True)
    assert scores.mean() == pytest.approx(r2_score(truth, said))


def test_names_are_not_foretold_and_strange_ones_count_as_missing(rng):
    """Codes beyond those of the training rows, and more of them than trees can tell apart."""
    train, draws, test = (np.stack([rng.integers(0, n, 400), rng.normal(size=400)], 1) for n in (300, 400, 500))
    found = foretold(train, draws, test, ["categorical", "gaussian"])
    assert [lesson.target for lesson in found.lessons] == ["column 1"]
    with pytest.raises(UsageError, match="none to foretell"):
        foretold(train[:, [0, 0]], draws[:, [0, 0]], test[:, [0, 0]], "categorical")


def test_draws_of_values_that_training_never_saw_teach_nothing(rng):
    train, test, draws = table(rng, 150), table(rng, 150), table(rng, 150)
    draws[:, 2] += 50
    category = foretold(train, draws, test, KINDS).lessons[2]
    assert category.synthetic.value == 0
    assert category.kept.value < 0


def test_many_columns_are_a_sample_of_them(rng, monkeypatch):
    monkeypatch.setattr("reverie.evidence.utility.COLUMNS", 2)
    x = rng.normal(size=(60, 5))
    found = foretold(x, x, x)
    assert len(found.lessons) == 2
    assert found.of == 5


def test_bad_input_is_refused(rng):
    train, draws, test = labelled(rng, 30), labelled(rng, 30), labelled(rng, 30)
    with pytest.raises(DataError, match="draws has 30 rows of features, but 29 labels"):
        usefulness(train, (draws[0], draws[1][1:]), test)
    with pytest.raises(DataError, match="draws"):
        usefulness(train, (draws[0] * np.nan, draws[1]), test)
    with pytest.raises(DataError, match="labels are words in some"):
        usefulness(train, (draws[0], np.arange(30) % 3), test)
    with pytest.raises(UsageError, match="nothing to foretell"):
        usefulness((train[0], np.full(30, "a")), draws, test)
    with pytest.raises(UsageError, match="two columns"):
        foretold(train[0][:, :1], draws[0][:, :1], test[0][:, :1])
    with pytest.raises(UsageError, match="kinds has 2 entries"):
        foretold(train[0], draws[0], test[0], ["gaussian", "gaussian"])
