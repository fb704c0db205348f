"""The convolutional GAN: the paper's rules for its players, every size and colour, when they are normalised."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from reverie import DCGAN, VAE, Adversarial
from reverie.errors import UsageError
from reverie.learning.adversarial import GAMES
from reverie.random import Random

FREE = Adversarial(game="non-saturating")


def begun(shape, n=4, **arguments):
    """A DCGAN of random images that has its first parameters."""
    x = np.random.default_rng(0).integers(0, 256, (n, *shape)).astype(np.uint8)
    return DCGAN(3, **{"channels": 2, "device": "cpu", **arguments}).begin(x).model


def fitted(x=None, **arguments):
    x = load_digits().images[:300].astype(np.uint8) if x is None else x
    return DCGAN(8, **{"channels": 8, "epochs": 2, "device": "cpu", **arguments}).fit(x)


SHAPES = [
    *((side, side) for side in (8, 9, 10, 11, 12, 15, 16, 17, 23, 28, 31, 32, 33, 48, 63, 64, 100, 127, 128)),
    *((8, 128), (128, 8), (9, 28), (28, 20, 1), (28, 28, 3), (31, 17, 3), (64, 48, 3), (96, 128, 3)),
]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("learning", [Adversarial(), FREE], ids=["penalty", "normalised"])
def test_images_of_every_size_have_their_players(shape, learning):
    """G makes exactly such images, with values in the range; D gives one number for each; features are finite."""
    model = begun(shape, learning=learning)
    pixels = int(np.prod(shape))
    made = model.generate(model.latents(3, Random(0)), None, model.params_, Random())
    assert made.shape == (3, pixels)
    assert made.abs().max() <= 1
    assert model.judge(made, None, model.params_).shape == (3,)
    assert model.features(made).shape == (3, 16 * sum(model.discriminator.maps[1:]))
    assert model.sample(2).shape == (2, *shape)
    sides = model.generator.sides
    assert sides == model.discriminator.sides
    assert min(sides[-1]) <= 4 < min(sides[-2]), "halved until four pixels at most are left"
    assert model.generator.maps[1:] == [2 * 2**k for k in range(len(sides) - 1)], "twice the maps at half the size"


def test_all_sides_from_8_to_128_come_out_as_they_are():
    """All of them, by the sizes alone: halved and doubled again, odd ones too."""
    for side in range(8, 129):
        other = 8 + (37 * side) % 121
        model = DCGAN(2, channels=1, batch_norm=False, device="cpu")
        model.shape_, model.n_features_in_ = (side, other), side * other
        G = model.generator
        made = G(torch.zeros(1, 2), G.initialise(Random(0)))
        assert made.shape == (1, side * other)


def test_the_players_follow_the_paper_s_rules():
    """No fully connected hidden layer, no normalisation at D's first layer and G's last; rectifiers, leaky in D."""
    model = begun((32, 32), learning=FREE)
    names = set(model.params_)
    assert {f"discriminator.K{k}" for k in range(3)} <= names
    assert {n for n in names if "dense" in n} == {
        "generator.dense.W0",
        "discriminator.dense.W0",
        "discriminator.dense.b0",
    }
    assert {n for n in names if "scale" in n} == {
        *(f"generator.scale{k}" for k in (1, 2, 3)),
        *(f"discriminator.scale{k}" for k in (2, 3)),
    }
    assert (model.generator.activation, model.discriminator.activation) == ("relu", "leaky-relu")


@pytest.mark.parametrize("game", sorted(GAMES))
def test_layers_are_normalised_in_games_without_a_penalty(game):
    penalised = Adversarial(game=game).penalty_ > 0
    model = begun((16, 16), learning=Adversarial(game=game))
    assert model.batch_norm_ == (not penalised)
    assert any("scale" in name for name in model.params_) == (not penalised)
    assert not begun((16, 16), learning=Adversarial(game=game, penalty=1)).batch_norm_
    assert begun((16, 16), learning=Adversarial(game=game, penalty=0)).batch_norm_
    assert not begun((16, 16), learning=Adversarial(game=game, penalty=0), batch_norm=False).batch_norm_
    with pytest.raises(UsageError, match=r"batch_norm=True with a gradient penalty.*leave batch_norm out, or set"):
        begun((16, 16), learning=Adversarial(game=game, penalty=0.1), batch_norm=True)


@pytest.mark.parametrize(
    ("shape", "what"),
    [
        ((12,), r"takes images.*example has shape \(12,\); take gan"),
        ((4, 4), r"sides from 8 to 128 pixels, but these have 4 × 4: scale them"),
        ((7, 20), r"7 × 20"),
        ((8, 129), r"8 × 129"),
        ((3, 32, 32), r"3 × 32 and 32 channels: channels come last, \(n, height, width, channels\); move them"),
        ((1, 28, 20), r"channels come last"),
        ((2, 8, 8, 3), r"takes images.*\(2, 8, 8, 3\)"),
    ],
)
def test_what_is_no_image_of_that_size_is_refused(shape, what):
    with pytest.raises(UsageError, match=what):
        begun(shape)


@pytest.mark.parametrize("model", [DCGAN(device="cpu"), VAE(convolutional=True, device="cpu")])
def test_a_table_with_gaps_is_first_of_all_no_image(model):
    with pytest.raises(UsageError, match=r"takes images.*example has shape \(7,\)"):
        model.fit(np.where(np.eye(7) > 0, np.nan, 1.0))


@pytest.mark.parametrize("game", sorted(GAMES))
def test_every_game_is_played_with_images_and_labels(game):
    """A few steps of each: figures are finite, draws are images of the data's type."""
    bunch = load_digits()
    x, y = bunch.images[:120], bunch.target[:120]
    model = DCGAN(8, channels=4, labels=True, epochs=1, batch_size=40, device="cpu", learning=Adversarial(game=game))
    model.fit(x, y, validation=x[:60], validation_y=y[:60])
    assert all(np.isfinite(list(row.values())).all() for row in model.history_)
    draws = model.sample(5, y=7)
    assert (draws.shape, draws.dtype) == ((5, 8, 8), x.dtype)
    assert draws.min() >= x.min() - 1e-4
    assert draws.max() <= x.max() + 1e-4


def test_features_are_the_largest_values_of_all_maps_in_a_grid():
    """By hand on maps whose sides are multiples of four."""
    model = begun((16, 16), channels=2, batch_norm=False)
    x = torch.rand(3, 256) * 2 - 1
    (maps,) = (m for m in model.discriminator.maps_of(x, model.params_, "discriminator.") if m.shape[-1] == 8)
    by_hand = maps.reshape(3, 2, 4, 2, 4, 2).amax((3, 5)).flatten(1)
    torch.testing.assert_close(model.features(x)[:, : 2 * 16], by_hand)


def test_it_learns_digits():
    """After some seconds draws share more with the data than noise of the same pixels' distribution does."""
    x = load_digits().images.astype(np.uint8)
    model = fitted(x, channels=16, epochs=8, learning_rate=2e-3)
    draws = model.sample(500)
    # How often pixels are dark where the data's always are, and how far the means lie apart.
    means = [a.reshape(len(a), -1).mean(0) for a in (x, draws)]
    assert np.corrcoef(means)[0, 1] > 0.9
    assert np.abs(means[0] - means[1]).mean() < 2
    spread = [np.linalg.eigvalsh(np.cov(a.reshape(len(a), -1).T.astype(float)))[::-1] for a in (x, draws)]
    assert 0.3 < spread[1][:10].sum() / spread[0][:10].sum() < 2, "draws differ from each other as digits do"
    assert model.history_[-1]["told_apart"] < 0.99, "G is not left behind"


def test_d_s_running_figures_follow_real_and_made_images_alike():
    """Data of bright images and a G of dark ones: D's first normalised mean lies half way, as its own moves show both.

    Had G's moves counted as well, two of three batches were made ones.
    """
    x = np.random.default_rng(0).integers(150, 256, (40, 16, 16)).astype(np.uint8)
    training = DCGAN(3, channels=2, batch_size=40, epochs=1, device="cpu", learning=FREE).begin(x)
    model, game = training.model, training.principle
    rng, rows = Random(0), model.prepare(training.data, Random())
    model.params_["generator.K0"].zero_()
    model.params_["generator.c0"].fill_(-2.0)
    state = game.init(model, rows, rng)
    for _ in range(60):
        game.step(model, state, rows, 0.0)  # at a rate of zero only the figures move
    D, real = model.discriminator, model.shown(rows)[0]
    made = torch.full_like(real, float(torch.tanh(torch.tensor(-2.0))))
    means = []
    for images in (real, made):
        buffers = {name: torch.zeros_like(t) for name, t in D.buffers("discriminator.").items()}
        D(images, model.params_, "discriminator.", buffers, training=True)
        means.append(buffers["discriminator.mean2"] / 0.1)  # after one batch: a tenth of its mean
    share = (model.buffers_["discriminator.mean2"] - means[1]) / (means[0] - means[1])
    torch.testing.assert_close(share, torch.full_like(share, 0.9 / 1.9), atol=0.01, rtol=0)
    before = model.buffers_["discriminator.mean2"].clone()
    model.judge(made, None, model.params_, tracked=False)
    assert torch.equal(model.buffers_["discriminator.mean2"], before)
