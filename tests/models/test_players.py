"""What both adversarial models share: draws with a slope, labels, the running average, features, pictures, files."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

import reverie
from reverie import DCGAN, GAN, Adversarial
from reverie.errors import DataError, UsageError
from reverie.models.players import CELLS, FEW, FRAMES, MARGIN, POINTS, SHOWN, drawn, means, own, values
from reverie.random import Random
from reverie.units import Bernoulli, Blocks, Categorical, Gaussian

BITS, REAL, WORDS = Bernoulli(2), Gaussian(3), Categorical(2, 3)
ROW = Blocks([BITS, REAL, WORDS])
"""Two bits, three real columns and two of three categories: 2 + 3 + 6 linear statistics."""
NORMALISED = Adversarial(game="non-saturating", discriminator_steps=2)


def bytes_of(n=40, shape=(10, 10), seed=0):
    return np.random.default_rng(seed).integers(0, 256, (n, *shape)).astype(np.uint8)


def small(cls=GAN, x=None, y=None, validation=None, **arguments):
    defaults = {"hidden": (8, 6)} if cls is GAN else {"channels": 4}
    made = cls(**{"latent": 3, "epochs": 2, "batch_size": 10, "device": "cpu", **defaults, **arguments})
    return made.fit(bytes_of() if x is None else x, y, validation=validation)


each_player = pytest.mark.parametrize("cls", [GAN, DCGAN])


# Draws with a slope ---------------------------------------------------------------------------------------------------


def test_draws_are_exact_and_their_slope_is_that_of_the_means():
    """Bits are 0 or 1 and categories one-hot to the last digit, although probabilities were added and taken away."""
    logits = torch.randn(500, 11, generator=torch.Generator().manual_seed(0)).requires_grad_()
    x = drawn(ROW, logits, Random(0))
    assert x.shape == (500, 11)
    assert set(x[:, :2].detach().unique().tolist()) == {0, 1}
    assert torch.equal(x[:, 2:5], logits[:, 2:5])
    words = x[:, 5:].reshape(500, 2, 3).detach()
    assert set(words.unique().tolist()) == {0, 1}
    assert (words.sum(-1) == 1).all()
    weights = torch.randn(500, 11, generator=torch.Generator().manual_seed(1))
    (slope,) = torch.autograd.grad((x * weights).sum(), logits)
    bits, real, words = logits.split([2, 3, 6], 1)
    soft = torch.cat([bits.sigmoid(), real, words.reshape(500, 2, 3).softmax(-1).flatten(1)], 1)
    (wanted,) = torch.autograd.grad((soft * weights).sum(), logits)
    torch.testing.assert_close(slope, wanted)


def test_draws_have_their_probabilities():
    """χ² of 20,000 draws of a bit and of a word, with a slope and without."""
    logits = torch.tensor([0.5, -1.0, 0.0, 0.0, 0.0, 1.0, 0.0, -1.0, 0.0, 0.5, 0.2]).expand(20_000, -1)
    for x in (drawn(ROW, logits, Random(1)), ROW.statistics(values(ROW, logits, Random(2)))[:, :11]):
        bits = x[:, :2].mean(0)
        p = logits[0, :2].sigmoid()
        assert ((bits - p).abs() < 4 * (p * (1 - p) / 20_000).sqrt()).all()
        counts, p = x[:, 5:8].sum(0), logits[0, 5:8].softmax(0)
        assert float(((counts - 20_000 * p) ** 2 / (20_000 * p)).sum()) < 13.8  # p = 0.001 at 2 degrees of freedom


def test_values_and_means_have_a_column_for_each_of_the_data_s():
    logits = torch.tensor([[30.0, -30.0, 1.5, -2.5, 0.0, -30.0, 30.0, -30.0, 30.0, -30.0, -30.0]])
    for found in (values(ROW, logits, Random(0)), means(ROW, logits)):
        np.testing.assert_allclose(found, [[1, 0, 1.5, -2.5, 0, 1, 0]], atol=1e-9)
    assert float(means(BITS, torch.zeros(1, 2))[0, 0]) == 0.5


def test_the_answer_that_counts_is_that_of_the_label():
    odds = torch.arange(6.0).reshape(2, 3)
    assert own(odds, torch.tensor([2.0, 0.0])).tolist() == [2, 3]
    assert own(odds[:, :1], None).tolist() == [0, 3]


# Labels ---------------------------------------------------------------------------------------------------------------


def test_draws_of_a_label_have_it():
    """Two far apart classes, one three times as frequent: by label all are where they belong, without one as many."""
    rng = np.random.default_rng(0)
    y = rng.choice(["left", "right"], 800, p=[0.25, 0.75])
    x = np.where(y == "left", -5.0, 5.0)[:, None] + rng.normal(size=(800, 2))
    model = GAN(
        2, hidden=(32,), octaves=0, labels=True, epochs=20, batch_size=50, learning_rate=3e-3, device="cpu"
    ).fit(x, y)
    left, right, both = model.sample(200, y="left"), model.sample(200, y="right"), model.sample(2000)
    assert (left[:, 0] < 0).mean() > 0.98
    assert (right[:, 0] > 0).mean() > 0.98
    assert (both[:, 0] > 0).mean() == pytest.approx((y == "right").mean(), abs=0.04)
    middle = model.decode(np.zeros((1, 2)), y="left"), model.decode(np.zeros((1, 2)), y="right")
    assert middle[0][0, 0] < 0 < middle[1][0, 0]
    with pytest.raises(UsageError, match="say which one by y="):
        model.decode(np.zeros((1, 2)))
    with pytest.raises(DataError, match="y holds up in row 0, which is no label"):
        model.sample(3, y="up")
    # D judges an example by its own label: the wrong one is no real pair.
    odds = model.answered(model.seen(x[:100], Random()))
    codes = torch.from_numpy((y[:100] == "right").astype(np.int64))
    assert (own(odds, codes) > own(odds, 1 - codes)).float().mean() > 0.9


def test_labels_are_asked_for_and_refused_with_an_advice():
    x, y = bytes_of(), np.arange(40) % 2
    with pytest.raises(DataError, match="requires y to be passed"):
        small(labels=True)
    with pytest.raises(UsageError, match="learned no labels; fit it with labels=True"):
        small(x=x, y=y).sample(2, y=1)
    with pytest.raises(UsageError, match="learned no labels"):
        small(x=x, y=y).decode(np.zeros((2, 3)), y=1)
    model = small(x=x, y=y, labels=True)
    for ask in (lambda y: model.sample(3, y=y), lambda y: model.decode(np.zeros((3, 3)), y=y)):
        with pytest.raises(UsageError, match=r"y=\[0, 1, 0\]: it takes one label.*ask once for each"):
            ask([0, 1, 0])


# What is drawn from ---------------------------------------------------------------------------------------------------


def test_draws_are_those_of_the_average_in_its_final_state():
    """Running figures in the place of a batch's: each draw is made alone, whatever else is asked for."""
    model = small(DCGAN, learning=NORMALISED, epochs=4)
    assert {"average.generator.mean1", "average.generator.K0"} <= set(model.buffers_)
    whole = model.sample(30)
    np.testing.assert_array_equal(model.sample(7), whole[:7])
    z = Random(model.seed, "dcgan/sample").normal((30, 3))
    by_hand = model.decode(z.numpy())
    np.testing.assert_array_equal(np.rint(by_hand).clip(0, 255), whole)
    np.testing.assert_allclose(model.decode(z[3:4].numpy()), by_hand[3:4], rtol=1e-4, atol=1e-3)
    # G's own last parameters, or the batch's own figures, would give others.
    own_G = {name: p for name, p in model.params_.items() if name.startswith("generator.")}
    for params, training in ((own_G, False), (model.average, True)):
        buffers = {name: t.clone() for name, t in (model.average | model.moving).items()}
        other = model.outputs(z, None, params, buffers, training)
        assert np.abs(other.detach().numpy().reshape(30, 10, 10) - (by_hand / 127.5 - 1)).max() > 1e-3


def test_many_draws_are_made_a_few_at_a_time(monkeypatch):
    model = small()
    whole = model.sample(25)
    z, most = np.random.default_rng(0).normal(size=(25, 3)), []
    means, outputs = model.decode(z), GAN.outputs
    monkeypatch.setattr(reverie.models.latent, "AT_ONCE", 700)  # seven images of a hundred pixels
    monkeypatch.setattr(GAN, "outputs", lambda self, z, *more: most.append(len(z)) or outputs(self, z, *more))
    np.testing.assert_array_equal(model.sample(25), whole)
    np.testing.assert_allclose(model.decode(z), means, rtol=1e-5, atol=1e-4)
    few = model.transform(bytes_of())
    model.pictures(bytes_of(), Random())
    assert max(most) == 7
    monkeypatch.undo()
    np.testing.assert_allclose(few, model.transform(bytes_of()), rtol=1e-5, atol=1e-6)


@each_player
def test_no_draws_and_no_codes_are_an_empty_answer(cls):
    model = small(cls)
    assert model.sample(0).shape == (0, 10, 10)
    assert model.decode(np.zeros((0, 3))).shape == (0, 10, 10)


def test_normalised_layers_learn_their_figures_and_keep_them_out_of_questions():
    model = small(DCGAN, learning=NORMALISED)
    for name in ("generator.mean1", "discriminator.mean2", "discriminator.var2", "average.generator.var1"):
        assert (model.buffers_[name] - (1.0 if "var" in name else 0.0)).abs().max() > 1e-4, name
    before = {name: t.clone() for name, t in model.buffers_.items()}
    model.sample(5), model.transform(bytes_of()), model.discriminate(bytes_of()), model.decode(np.zeros((2, 3)))
    model.pictures(bytes_of(), Random())
    assert all(torch.equal(t, model.buffers_[name]) for name, t in before.items() if not torch.isnan(t).any())
    x = bytes_of()
    np.testing.assert_allclose(model.discriminate(x[:1]), model.discriminate(x)[:1], rtol=1e-4, atol=1e-5)


# D --------------------------------------------------------------------------------------------------------------------


def test_d_learns_to_tell_data_from_noise_and_its_features_serve_a_classifier():
    """Unseen digits against noise, beside the D that has learned nothing; pipelines and clones.

    Digits are told apart as well by features that have not learned (maps of random kernels), so that a classifier can
    only show that learning has not spoilt them.
    """
    from sklearn.datasets import load_digits

    bunch = load_digits()
    x, y = bunch.images[:600].astype(np.uint8), bunch.target[:600]
    game = Adversarial(game="relativistic", penalty=0.1, penalty_fall=1.0, penalty_every=1)
    gan = DCGAN(8, channels=8, epochs=6, device="cpu", learning=game)
    pipe = make_pipeline(clone(gan), LogisticRegression(max_iter=300)).fit(x[:450], y[:450])
    model, begun = pipe[0], clone(gan).begin(x[:450])
    begun.model.end(begun)
    untrained = make_pipeline(begun.model, LogisticRegression(max_iter=300))
    untrained[-1].fit(begun.model.transform(x[:450]), y[:450])
    assert pipe.score(x[450:], y[450:]) > untrained.score(x[450:], y[450:]) - 0.05
    features = model.transform(x[:5])
    assert features.shape == (5, len(model.get_feature_names_out()))
    assert features.dtype == np.float32
    assert model.discriminate(x[:200]).shape == (200,)
    noise = np.random.default_rng(0).integers(0, 17, (200, 8, 8)).astype(np.uint8)
    told = [(m.discriminate(x[450:])[:, None] > m.discriminate(noise)).mean() for m in (begun.model, model)]
    assert told[0] < 0.95 < 0.99 < told[1], told


@each_player
def test_what_it_cannot_do_it_says_with_what_it_can(cls):
    model = small(cls)
    for verb in ("score_samples", "score", "log_likelihood", "reconstruct", "impute", "predict"):
        with pytest.raises(AttributeError, match=f"{cls.__name__} cannot {verb}; it can sample, transform"):
            getattr(model, verb)
    with pytest.raises(DataError, match="codes have shape"):
        model.decode(np.zeros((2, 5)))


def test_a_gan_of_labels_is_no_classifier():
    from sklearn.base import is_classifier

    tags = GAN(labels=True).__sklearn_tags__()
    assert not is_classifier(GAN(labels=True))
    assert tags.target_tags.required
    assert not GAN().__sklearn_tags__().target_tags.required


# History --------------------------------------------------------------------------------------------------------------


def test_coverage_is_that_of_draws_and_needs_enough_examples():
    """Of the validation examples where there are enough, else of training examples; a draw of the data would have 1."""
    x = np.random.default_rng(0).normal(size=(300, 2))
    few, enough = small(x=x, validation=x[: FEW - 1] + 50), small(x=x, validation=x[:FEW] + 50)
    assert few.history_[-1]["coverage"] > 0.1
    assert enough.history_[-1]["coverage"] == 0, "draws are far from these"
    assert "coverage" not in small(x=x[:5]).history_[-1]
    assert "by_heart" not in small(x=x).history_[-1]
    assert "by_heart" not in few.history_[-1], "of so few, chance decides"
    assert "by_heart" in enough.history_[-1]


def test_equal_rows_do_not_take_coverage_away():
    """A table of two bits has four rows that occur again and again: a G that makes all of them covers the data."""
    x = np.random.default_rng(0).integers(0, 2, (400, 2)).astype(np.uint8)
    row = small(x=x, visible="bernoulli").history_[-1]
    assert row["coverage"] > 0.6
    assert row["precision"] == pytest.approx(1, abs=0.1)


def test_a_d_that_knows_its_examples_by_heart_is_named():
    """Thirty examples of noise, a D of many weights and no penalty: no new example looks real to it."""
    x = np.random.default_rng(0).normal(size=(200, 20))
    arguments = {"hidden": (64,), "epochs": 100, "learning_rate": 3e-3, "learning": Adversarial(penalty=0)}
    model = small(x=x[:30], validation=x[30:], **arguments)
    assert model.history_[-1]["by_heart"] > 0.9
    assert any("by heart" in found for found in model.diagnosis(model.history_))
    half = small(x=x[:100], validation=x[100:])
    assert half.history_[-1]["by_heart"] == pytest.approx(0.5, abs=0.15)


# What can be seen -----------------------------------------------------------------------------------------------------


@each_player
def test_the_film_shows_the_same_latents_after_more_and_more_epochs(cls):
    model = small(cls, epochs=5)
    film, walks = model.pictures(bytes_of(), Random())
    assert film.rows == ("epoch 1", "epoch 2", "epoch 4", "epoch 5")
    assert film.images.shape == (4 * film.columns, 10, 10)
    even = Adversarial(schedule="constant", penalty_fall=1.0)  # so that an epoch does not depend on how many there are
    first, one = small(cls, epochs=5, learning=even), small(cls, epochs=1, learning=even)
    rows = first.pictures(bytes_of(), Random())[0].images, one.pictures(bytes_of(), Random())[0].images
    np.testing.assert_allclose(rows[0][: film.columns], rows[1][: film.columns])
    assert walks.images.shape[1:] == (10, 10)
    assert small(cls, epochs=4).pictures(bytes_of(), Random())[0].rows == ("epoch 1", "epoch 2", "epoch 4")


def test_the_film_of_large_images_follows_fewer_latents():
    """It is part of every checkpoint, and stays at a megabyte."""
    for side, followed in ((10, SHOWN), (100, 3), (200, 1)):
        model = GAN(2, hidden=(2,), epochs=1, batch_size=10, device="cpu").fit(bytes_of(10, (side, side)))
        assert model.buffers_["film"].shape == (FRAMES, followed, side * side)
        assert model.layout()["buffers.film"] == (FRAMES, followed, side * side)
        assert model.pictures(bytes_of(10, (side, side)), Random())[0].columns == followed


def test_the_film_of_points_shows_where_they_crowd_and_the_data_last():
    """Nine tenths of the data are to the lower left, where their picture is darker; where none lie it is blank."""
    rng = np.random.default_rng(0)
    x = np.where(rng.random((400, 1)) < 0.9, [-1.0, -2.0], [1.0, 2.0]) + 0.01 * rng.normal(size=(400, 2))
    model = GAN(2, hidden=(4,), epochs=5, batch_size=100, device="cpu").fit(x)
    (film,) = model.pictures(x, Random())
    assert "after 1, 2, 4, 5 epochs" in film.caption
    assert film.images.shape == (5, CELLS, CELLS)
    data, edge = film.images[-1], int(CELLS * MARGIN / (1 + 2 * MARGIN))
    dark = np.argwhere(data < 1)
    assert {(r > CELLS // 2, c < CELLS // 2) for r, c in dark} == {(True, True), (False, False)}, "up is up"
    assert data[CELLS // 2 :].sum() < data[: CELLS // 2].sum()
    assert (data[:edge] == 1).all()
    assert (data[:, -edge:] == 1).all()
    assert model.buffers_["film"].shape == (FRAMES, POINTS, 2)
    table = GAN(2, hidden=(4,), visible=("gaussian", "bernoulli"), epochs=1, batch_size=100, device="cpu")
    bits = np.stack([x[:, 0], x[:, 1] > 0], 1)
    assert table.fit(bits).pictures(bits, Random()) == []
    assert "film" not in table.buffers_


def test_a_model_saved_without_a_film_is_read_and_shows_its_end_alone(tmp_path):
    """Points were not filmed at first; what was saved then draws as it did."""
    x = np.random.default_rng(0).normal(size=(100, 2))
    model = GAN(2, hidden=(4,), epochs=5, batch_size=50, device="cpu").fit(x)
    del model.buffers_["film"]
    model.save(tmp_path / "old")
    old = reverie.load(tmp_path / "old")
    np.testing.assert_array_equal(old.sample(5), model.sample(5))
    (film,) = old.pictures(x, Random())
    assert "after 5 epochs" in film.caption
    assert len(film.images) == 2


@each_player
def test_a_training_that_was_stopped_in_its_first_epoch_can_be_looked_at(cls):
    model = cls(latent=3, epochs=5, batch_size=10, device="cpu")
    training = model.begin(bytes_of())
    training.stop = "now"
    training.run()
    model.end(training)
    assert model.n_iter_ == 0
    assert model.pictures(bytes_of(), Random())[0].rows == ("epoch 0",)
    assert model.sample(2).shape == (2, 10, 10)
    assert model.diagnosis(model.history_) == ()


def test_coloured_pictures_of_labels_have_their_shape():
    x, y = bytes_of(shape=(10, 9, 3)), np.arange(40) % 3
    for picture in small(DCGAN, x, y, labels=True).pictures(x, Random()):
        assert picture.images.shape[1:] == (10, 9, 3)
        assert np.isfinite(picture.images).all()
        assert picture.images.min() >= 0
        assert picture.images.max() <= 255


# Files and bad arguments ----------------------------------------------------------------------------------------------


@each_player
def test_a_saved_model_goes_on_as_it_was(cls, tmp_path):
    arguments = {"labels": True, "learning": NORMALISED}
    model = small(cls, y=np.arange(40) % 2, **arguments)
    model.save(tmp_path / "m")
    again = reverie.load(tmp_path / "m")
    for ask in (
        lambda m: m.sample(4),
        lambda m: m.sample(4, y=1),
        lambda m: m.transform(bytes_of()),
        lambda m: m.discriminate(bytes_of()),
        lambda m: m.pictures(bytes_of(), Random())[0].images,
    ):
        np.testing.assert_array_equal(ask(model), ask(again))
    assert again.learning.discriminator_steps == 2


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        ({"learning": Adversarial(game="chess")}, "game='chess'"),
        ({"learning": Adversarial(penalty=-1)}, "penalty"),
        ({"learning": Adversarial(penalty_fall=0)}, "penalty_fall"),
        ({"learning": Adversarial(penalty_every=0)}, "penalty_every"),
        ({"learning": Adversarial(discriminator_steps=0)}, "discriminator_steps"),
        ({"learning": Adversarial(average=1.0)}, "average"),
        ({"learning": reverie.CD()}, "learning"),
        ({"latent": 0}, "latent"),
        ({"visible": "pixels"}, "visible"),
        ({"hidden": 5.5}, "hidden"),
    ],
)
def test_bad_arguments_are_refused_by_their_names(arguments, what):
    with pytest.raises(UsageError, match=what):
        small(**arguments)


@pytest.mark.parametrize("shape", [(10, 10), (5,)])
@pytest.mark.parametrize("arguments", [{"binarise": "threshold"}, {"binarise": 0.0}, {"dequantise": True}])
def test_pixels_are_not_prepared_and_say_so(shape, arguments):
    (name,) = arguments
    with pytest.raises(UsageError, match=f"{name}=.*columns are pixels.*leave {name} out, or give visible='"):
        small(x=bytes_of(shape=shape), visible="auto" if len(shape) == 2 else "pixel", **arguments)
    small(x=bytes_of(shape=shape), visible="pixel", epochs=1, dequantise=False)


@each_player
def test_data_without_any_range_are_refused(cls):
    with pytest.raises(DataError, match="all the same"):
        small(cls, np.full((20, 10, 10), 7, np.uint8))
    gaps = bytes_of().astype(float)
    gaps[3, 2, 1] = np.nan
    with pytest.raises(DataError, match=r"NaN.*row 3, column 21"):
        small(cls, gaps)
