"""Gradient descent: Adam's steps, what it leaves in the model, going on to the same bits, what happens at infinity."""

from __future__ import annotations

import pytest
import torch

from reverie.errors import DivergedError
from reverie.learning.gradient import Descent, Gradient, Moments, descend
from reverie.learning.loop import Training
from reverie.random import Random


class Line:
    """y = x w + c on noisy inputs, by least squares."""

    stage = ""

    def __init__(self, kind=torch.float32, blow_up=None):
        self.params_ = {"w": torch.ones(3, 1, dtype=kind), "c": torch.zeros(1, dtype=kind)}
        self.blow_up, self.calls = blow_up, 0

    def prepare(self, rows, rng):
        return rows

    def monitor(self, train, validation, rng):
        return {}

    def finished(self, history):
        return False

    def check_learned(self, v):
        return

    def objective(self, batch, params, rng):
        self.calls += 1
        x = batch[:, :3] + 0.1 * rng.normal((len(batch), 3)).to(batch)
        loss = (x @ params["w"] + params["c"] - batch[:, 3:]).square().mean()
        if self.blow_up == self.calls:
            loss = loss * torch.inf
        return loss, {"loss": loss}


def rows(n=40, kind=torch.float32):
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(n, 3, generator=generator)
    y = x @ torch.tensor([[1.0], [-2.0], [0.5]]) + 3
    return torch.cat([x, y], 1).to(kind)


def test_the_steps_are_those_of_adam():
    """Beside torch's own, in double precision, with every setting away from its default."""
    model, batch = Line(torch.float64), rows(kind=torch.float64)
    principle = Gradient(schedule="constant", decay=0.5, decay_of_squares=0.9, epsilon=1e-3, l2=0.1, clip=0.7)
    state = principle.init(model, batch, Random(0))
    theirs = {name: p.clone().requires_grad_() for name, p in model.params_.items()}
    groups = [{"params": [theirs["w"]], "weight_decay": 0.1}, {"params": [theirs["c"]], "weight_decay": 0.0}]
    adam = torch.optim.AdamW(groups, 0.05, betas=(0.5, 0.9), eps=1e-3)
    rng = Random(0)
    for _ in range(20):
        figures = principle.step(model, state, batch, 0.05)
        adam.zero_grad()
        loss, _ = model.objective(batch, theirs, rng)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(list(theirs.values()), 0.7)
        adam.step()
        torch.testing.assert_close(figures["loss"], loss.detach())
        assert not figures["loss"].requires_grad
    for name, p in theirs.items():
        torch.testing.assert_close(model.params_[name], p.detach())
        assert not model.params_[name].requires_grad
    assert state.moments.steps == 20


def test_the_rate_follows_the_schedule():
    """A first step of Adam has the length of the rate."""
    for schedule, factor in (("constant", 1.0), ("linear", 0.75), ("cosine", 0.5 * (1 + 2**-0.5))):
        model = Line(torch.float64)
        principle = Gradient(schedule=schedule)
        before = model.params_["c"].clone()
        principle.step(model, principle.init(model, rows(), Random(0)), rows(kind=torch.float64), 0.1, progress=0.25)
        assert float((model.params_["c"] - before).abs()) == pytest.approx(0.1 * factor, rel=1e-6)


def test_the_model_s_own_tensors_move_even_where_they_were_replaced():
    model = Line()
    moments = Moments.of(model.params_)
    for _ in range(2):
        model.params_ = {name: p.clone() for name, p in model.params_.items()}
        kept = dict(model.params_)
        before = {name: p.clone() for name, p in kept.items()}
        descend(model.params_, lambda p: model.objective(rows(), p, Random(0))[0], moments, 0.1)
        for name, p in kept.items():
            assert model.params_[name] is p
            assert not torch.equal(p, before[name])
    assert moments.steps == 2


def training(model=None):
    return Training(model or Line(), Gradient(), rows(), epochs=6, batch_size=7, learning_rate=0.1, seed=3)


def test_it_learns():
    done = training()
    done.run()
    losses = [row["loss"] for row in done.history]
    assert losses[-1] < 0.4 * losses[0]


@pytest.mark.parametrize("after", [1, 8, 17])
def test_it_goes_on_to_the_same_bits(after):
    """After any batch: parameters, both averages, the counts, the noise."""
    whole = training()
    whole.run()
    stopped, heard = training(), []

    def stop(progress):
        heard.append(progress)
        stopped.stop = "now" if stopped.epoch * stopped.steps + stopped.step >= after else ""

    # Listeners hear only now and then; stopping by hand at a batch is what a checkpoint does.
    step, count = stopped.principle.step, 0

    def counted(*given):
        nonlocal count
        found = step(*given)
        count += 1
        if count == after:
            stopped.stop = "now"
        return found

    stopped.principle.step = counted
    stopped.run([stop])
    kept = {name: t.clone() for name, t in stopped.tensors().items()}
    assert any(name.startswith("state.moments.first") for name in kept)
    again = training()
    again.restore(kept, stopped.history)
    again.run()
    assert again.history == whole.history
    for name, tensor in whole.tensors().items():
        assert torch.equal(tensor, again.tensors()[name]), name


def test_divergence_keeps_the_last_finite_parameters_and_moments():
    model = Line(blow_up=9)  # the third batch of the second epoch
    broken = training(model)
    with pytest.raises(DivergedError, match=r"learning_rate=0\.01"):
        broken.run()
    assert len(broken.history) == 1
    assert all(p.isfinite().all() for p in model.params_.values())
    state = broken.state
    assert isinstance(state, Descent)
    assert all(t.isfinite().all() for t in state.moments.first.values())
    assert state.moments.steps == broken.steps
