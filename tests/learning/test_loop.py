"""The loop: its schedule, its stops, its state and what it does when numbers stop being numbers."""

from __future__ import annotations

import contextlib
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch

from reverie import CD, PCD, RBM
from reverie.errors import CorruptFileError, DivergedError, OutOfMemoryError
from reverie.learning import loop
from reverie.learning.loop import Principle, Training, flatten, refill, scheduled
from reverie.random import Random


class Mean:
    """A model with one parameter, and rows that are what they are."""

    stage = ""

    def __init__(self, D=2):
        self.params_ = {"m": torch.zeros(D)}
        self.watched = []

    def prepare(self, rows, rng):
        return rows.float()

    def monitor(self, train, validation, rng):
        self.watched.append((train, validation, rng.uniform((3,))))
        return {"level": float(self.params_["m"].sum())}

    def finished(self, history):
        return False

    def check_learned(self, v):
        self.judged = v


@dataclass
class Moved:
    total: torch.Tensor
    steps: int
    rng: Random


class Follow(Principle):
    """A principle that notes what it is given and moves m towards the batch, with noise of its own."""

    schedule = "linear"

    def __init__(self, schedule="linear", bad_at=None):
        self.schedule, self.bad_at = schedule, bad_at
        self.batches, self.rates = [], []

    def init(self, model, data, rng):
        return Moved(torch.zeros(2), 0, rng)

    def step(self, model, state, batch, rate, progress):
        rate = rate * scheduled(self.schedule, progress)
        self.batches.append(batch.clone())
        self.rates.append(rate)
        state.total += batch.sum(0) + state.rng.uniform((2,))
        state.steps += 1
        model.params_["m"] += rate * (batch.mean(0) - model.params_["m"])
        if self.bad_at is not None and len(self.batches) >= self.bad_at:
            model.params_["m"][1] = math.nan
        return {"size": torch.tensor(float(len(batch)))}


DATA = torch.arange(46.0).reshape(23, 2)


def training(principle=None, epochs=3, batch_size=5, seed=0, validation=None, data=DATA, model=None):
    return Training(
        model or Mean(),
        principle or Follow(),
        data,
        validation,
        epochs=epochs,
        batch_size=batch_size,
        learning_rate=0.5,
        seed=seed,
    )


# Epochs and batches -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("batch_size", [1, 5, 22, 23, 100])
def test_every_row_is_visited_once_an_epoch(batch_size):
    principle = Follow()
    training(principle, epochs=2, batch_size=batch_size).run()
    steps = math.ceil(23 / batch_size)
    assert len(principle.batches) == 2 * steps
    for epoch in range(2):
        rows = torch.cat(principle.batches[epoch * steps : (epoch + 1) * steps])
        assert torch.equal(rows[rows[:, 0].argsort()], DATA)
    sizes = [len(b) for b in principle.batches[:steps]]
    assert sizes == [min(batch_size, 23 - k * batch_size) for k in range(steps)]


def test_the_order_changes_from_epoch_to_epoch_and_with_the_seed_alone():
    first, again, other = Follow(), Follow(), Follow()
    training(first).run()
    training(again).run()
    training(other, seed=1).run()
    assert all(torch.equal(a, b) for a, b in zip(first.batches, again.batches, strict=True))
    assert not torch.equal(torch.cat(first.batches[:5]), torch.cat(first.batches[5:10]))
    assert not torch.equal(torch.cat(first.batches[:5]), torch.cat(other.batches[:5]))
    assert not torch.equal(torch.cat(first.batches[:5]), DATA)


def test_history_has_a_row_an_epoch_with_the_means_of_the_batches():
    run = training(validation=DATA[:4])
    run.run()
    assert [row["epoch"] for row in run.history] == [1, 2, 3]
    assert all(row["size"] == pytest.approx(23 / 5) for row in run.history)
    assert run.done
    assert (run.epoch, run.step) == (3, 0)


def test_what_has_been_learned_is_judged_by_the_model_once_at_the_end():
    run = training(epochs=2)
    run.run([lambda progress: setattr(run, "stop", "enough")])
    assert not hasattr(run.model, "judged")  # it can still come right
    run.stop = ""
    run.run()
    assert torch.equal(run.model.judged, DATA)


def test_the_monitor_sees_the_same_rows_and_noise_every_time():
    """At most a thousand of each split, so that an epoch's figures cost little and differ by the parameters alone."""
    data = torch.arange(5000.0).reshape(2500, 2)
    run = training(epochs=2, batch_size=500, data=data, validation=-data[:1200])
    run.run()
    (train, validation, noise), (train2, validation2, noise2) = run.model.watched
    assert len(train) == len(validation) == 1000
    assert torch.equal(train, train2)
    assert torch.equal(validation, validation2)
    assert torch.equal(noise, noise2)
    assert len(train.unique(dim=0)) == 1000
    assert bool((validation <= 0).all())


def test_no_validation_rows_no_validation():
    run = training(epochs=1)
    run.run()
    assert run.model.watched[0][1] is None


# The learning rate --------------------------------------------------------------------------------------------------


def test_schedules():
    assert [scheduled("constant", p) for p in (0, 0.5, 1)] == [1, 1, 1]
    assert [scheduled("linear", p) for p in (0, 0.25, 1)] == [1, 0.75, 0]
    assert [scheduled("cosine", p) for p in (0, 0.5, 1)] == pytest.approx([1, 0.5, 0])
    assert scheduled("cosine", 0.25) == pytest.approx((2 + math.sqrt(2)) / 4)


@pytest.mark.parametrize("schedule", ["constant", "linear", "cosine"])
def test_the_rate_follows_the_planned_course(schedule):
    principle = Follow(schedule)
    training(principle).run()
    assert principle.rates == pytest.approx([0.5 * scheduled(schedule, k / 15) for k in range(15)])


def test_a_time_limit_does_not_alter_the_schedule():
    """Stopped after any batch, the rates so far and the batches are those of the whole run, and so is the rest."""
    whole = Follow()
    training(whole).run()
    for stop_at in (1, 4, 5, 7):
        part = Follow()
        run = training(part)
        original = part.step

        def step(*arguments, run=run, original=original, part=part, stop_at=stop_at):
            metrics = original(*arguments)
            if len(part.batches) == stop_at:
                run.stop = "time limit"
            return metrics

        part.step = step
        run.run()
        assert len(part.rates) == stop_at
        assert part.rates == whole.rates[:stop_at]
        assert run.epoch * 5 + run.step == stop_at
        assert not run.done
        assert len(run.history) == stop_at // 5
        run.stop = ""
        part.step = original
        run.run()
        assert part.rates == whole.rates
        assert all(torch.equal(a, b) for a, b in zip(part.batches, whole.batches, strict=True))


# Stopping and going on ----------------------------------------------------------------------------------------------


def snapshot(run):
    return {k: t.clone() for k, t in run.tensors().items()}, [dict(row) for row in run.history]


def stop_after(run, steps):
    """Run exactly so many batches more."""
    count = 0
    original = run.principle.step

    def step(*arguments):
        nonlocal count
        count += 1
        if count == steps:
            run.stop = "here"
        return original(*arguments)

    run.principle.step = step
    run.run()
    run.principle.step = original
    run.stop = ""


@pytest.mark.parametrize("steps", range(1, 15))
def test_resuming_after_any_batch_gives_the_same_bits(steps):
    whole = training()
    whole.run()
    first = training()
    stop_after(first, steps)
    tensors, history = snapshot(first)
    again = training()
    again.restore(tensors, history)
    again.run()
    assert again.history == whole.history
    wanted, found = whole.tensors(), again.tensors()
    assert found.keys() == wanted.keys()
    assert all(torch.equal(found[k], wanted[k]) for k in wanted)
    assert again.state.steps == whole.state.steps == 15


def test_the_state_is_small_flat_and_made_of_tensors():
    run = training()
    stop_after(run, 7)
    tensors = run.tensors()
    assert set(tensors) == {
        "epoch",
        "step",
        "noise",
        "sums.size",
        "counts.size",
        "params.m",
        "state.total",
        "state.steps",
        "state.rng",
    }
    assert all(isinstance(t, torch.Tensor) for t in tensors.values())
    assert (int(tensors["epoch"]), int(tensors["step"])) == (1, 2)


@pytest.mark.parametrize("name", ["epoch", "step", "noise", "params.m", "state.total", "state.steps", "state.rng"])
def test_a_checkpoint_without_one_of_its_parts_is_refused(name):
    tensors, history = snapshot(training())
    del tensors[name]
    with pytest.raises(CorruptFileError, match="does not fit this training"):
        training().restore(tensors, history)


@pytest.mark.parametrize(
    ("name", "tensor"),
    [
        ("params.m", torch.zeros(3)),
        ("params.m", torch.zeros(1)),
        ("params.m", torch.zeros(())),
        ("params.m", torch.zeros(2, dtype=torch.int64)),
        ("params.m", torch.zeros(2, 2)),
        ("state.total", torch.zeros(1)),
        ("state.rng", torch.zeros(2, dtype=torch.int64)),
        ("state.rng", torch.zeros(6)),
        ("noise", torch.zeros(0, dtype=torch.int64)),
        ("noise", torch.zeros(())),
        ("state.steps", torch.zeros(2)),
        ("epoch", torch.zeros(2)),
        ("epoch", torch.tensor(4)),
        ("epoch", torch.tensor(-1)),
        ("step", torch.tensor(5)),
        ("step", torch.tensor(-1)),
        ("params.more", torch.zeros(2)),
        ("state.velocity.m", torch.zeros(2)),
    ],
)
def test_a_checkpoint_that_does_not_fit_is_refused_and_never_stretched(name, tensor):
    """``copy_`` would stretch a tensor of one element over any number of parameters."""
    tensors, history = snapshot(training())
    tensors[name] = tensor
    with pytest.raises(CorruptFileError, match="does not fit this training"):
        training().restore(tensors, history)


def test_flatten_and_refill_are_inverse():
    def value(seed):
        rng = Random(seed)
        return {
            "layer": {"W": rng.uniform((2, 3)), "none": None},
            "moved": Moved(rng.uniform((2,)), seed, rng),
            "flag": seed % 2 == 0,
            "level": seed / 3,
        }

    one, other = value(4), value(7)
    flat = {k: t.clone() for k, t in flatten("x", one).items()}
    refill("x", other, flat)
    assert flatten("x", other).keys() == flat.keys()
    assert all(torch.equal(flatten("x", other)[k], flat[k]) for k in flat)
    assert (other["flag"], other["level"], other["moved"].steps) == (True, pytest.approx(4 / 3), 4)
    assert type(other["flag"]) is bool
    assert type(other["moved"].steps) is int
    assert torch.equal(other["moved"].rng.uniform((3,)), one["moved"].rng.uniform((3,)))


def test_what_cannot_be_written_is_not_in_a_state():
    with pytest.raises(TypeError, match="not str"):
        flatten("x", {"name": "text"})


# Divergence ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bad_at", [1, 9, 10, 11, 33])
def test_a_number_that_is_none_is_noticed_within_ten_batches(bad_at):
    """And the parameters of the last epoch's end, finite ones, are put back."""
    principle = Follow(bad_at=bad_at)
    run = training(principle, epochs=4, batch_size=2)  # 12 batches an epoch
    with pytest.raises(DivergedError, match="m stopped being finite by epoch") as caught:
        run.run()
    assert bad_at <= len(principle.batches) < bad_at + 10
    whole = training(Follow(), epochs=4, batch_size=2)
    if bad_at > 12:
        stop_after(whole, bad_at - 1 - (bad_at - 1) % 12)
    assert torch.equal(run.model.params_["m"], whole.model.params_["m"])
    assert "try learning_rate=0.05 (it was 0.5)" in str(caught.value)
    assert caught.value.exit_code == 4


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_every_kind_of_non_number_counts(bad):
    run = training(data=torch.full((40, 2), bad), batch_size=4)
    with pytest.raises(DivergedError):
        run.run()
    assert torch.equal(run.model.params_["m"], torch.zeros(2))


@pytest.mark.parametrize("learning", [CD(), CD(centre=False, momentum=0.0), PCD(), CD(schedule="constant", steps=3)])
def test_a_hopeless_learning_rate_ends_within_ten_batches(learning):
    """Weights of 1e37 overflow the energy: the error says what to change, and all that is kept is finite."""
    x = np.random.default_rng(0).integers(0, 2, (200, 12)).astype(np.uint8)
    model = RBM(8, epochs=5, batch_size=10, learning_rate=1e38, learning=learning, device="cpu")
    seen = []
    with pytest.raises(DivergedError, match="try learning_rate=1e\\+37") as caught:
        model.fit(x, listeners=[lambda event: seen.append(event.epoch_done)])
    assert "epoch 1, batch 10 of 20" in str(caught.value)
    assert all(p.isfinite().all() for p in model.params_.values())
    assert all(p.isfinite().all() for p in model.buffers_.values())
    assert model.history_ == []
    assert np.isfinite(model.score(x))
    assert set(np.unique(model.sample(5, burn_in=3))) <= {0, 1}


@pytest.mark.parametrize("rate", [1e2, 1e4, 1e8, 1e20, 1e30, 1e36])
def test_no_training_ends_in_figures_that_are_no_numbers(rate):
    """Whatever the rate: either DivergedError, or parameters and history that are finite throughout."""
    x = np.random.default_rng(0).integers(0, 2, (60, 6)).astype(np.uint8)
    model = RBM(4, epochs=4, batch_size=5, learning_rate=rate, device="cpu")
    with contextlib.suppress(DivergedError):
        model.fit(x, validation=x[:10])
    assert all(p.isfinite().all() for p in [*model.params_.values(), *model.buffers_.values()])
    assert all(math.isfinite(v) for row in model.history_ for v in row.values())


def test_planted_nan_in_the_chains_is_noticed():
    """NaN in persistent chains reaches the parameters at the next update."""
    x = np.random.default_rng(0).integers(0, 2, (200, 6)).astype(np.uint8)
    model = RBM(4, epochs=3, batch_size=10, learning=PCD(particles=20), device="cpu")
    run = model.begin(x)
    stop_after(run, 25)
    run.state.particles[3, 2] = math.nan
    with pytest.raises(DivergedError, match="epoch 2, batch 10 of 20"):
        run.run()
    assert all(p.isfinite().all() for p in model.params_.values())
    model.end(run)
    assert all(p.isfinite().all() for p in model.buffers_.values())


# Memory, listeners --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        torch.OutOfMemoryError("CUDA out of memory"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:115] DefaultCPUAllocator: can't allocate memory"),
    ],
)
def test_running_out_of_memory_names_a_batch_size_to_try(error):
    class Greedy(Follow):
        def step(self, *arguments):
            raise error

    with pytest.raises(OutOfMemoryError, match="batch_size=5 on 23 rows of 2; try batch_size=2"):
        training(Greedy()).run()


def test_other_errors_pass_as_they_are():
    class Broken(Follow):
        def step(self, *arguments):
            raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    with pytest.raises(RuntimeError, match="mat1 and mat2"):
        training(Broken()).run()


class Times:
    """A clock under the test's control: it advances by ``step`` whenever it is read."""

    def __init__(self, step):
        self.now, self.step = 100.0, step

    def monotonic(self):
        self.now += self.step
        return self.now


def events(monkeypatch, tick, **keywords: Any):
    monkeypatch.setattr(loop, "time", Times(tick))
    heard = []
    run = training(**keywords)
    run.run([heard.append])
    return heard


def test_listeners_hear_every_epoch_and_at_most_ten_times_a_second(monkeypatch):
    """15 batches that take 0.025 s each by the clock: the ends of 3 epochs, and a tick each 0.1 s in between."""
    heard = events(monkeypatch, 0.025)
    assert [e.metrics["epoch"] for e in heard if e.epoch_done] == [1, 2, 3]
    times = [e.seconds for e in heard if not e.epoch_done]
    assert 2 <= len(times) <= 5
    assert np.diff(times).min() >= 0.1 - 1e-9


def test_progress_says_how_far_how_fast_and_how_long(monkeypatch):
    """A batch a second: after k batches the rate is about one a second and the rest takes about 15 − k seconds."""
    heard = events(monkeypatch, 1.0)
    for event in heard:
        position = event.epoch * event.steps + event.step
        assert event.epochs == 3
        assert event.steps == 5
        assert event.rate == pytest.approx(position / event.seconds)
        assert event.left == pytest.approx((15 - position) / event.rate)
    assert heard[-1].left == 0
    assert [e.epoch for e in heard if e.epoch_done] == [1, 2, 3]


def test_a_resumed_run_counts_its_own_speed(monkeypatch):
    """What another process did before says nothing of this one's rate."""
    first = training()
    stop_after(first, 10)
    again = training()
    again.restore(*snapshot(first))
    monkeypatch.setattr(loop, "time", Times(1.0))
    heard = []
    again.run([heard.append])
    assert heard[0].rate <= 1.5


def test_an_exception_of_a_listener_stops_the_training():
    def stop(event):
        raise KeyboardInterrupt

    run = training()
    with pytest.raises(KeyboardInterrupt):
        run.run([stop])
    assert run.epoch >= 1


def test_a_principle_that_adds_up_is_given_rows_in_their_order():
    """Every epoch, in slices of the data, which cost no copy."""

    class Sum(Follow):
        in_order = True

    principle, data = Sum(), torch.arange(23.0)[:, None].expand(-1, 2).contiguous()
    Training(Mean(), principle, data, epochs=2, batch_size=10, learning_rate=0.1).run()
    assert [len(batch) for batch in principle.batches] == [10, 10, 3] * 2
    assert torch.equal(torch.cat(principle.batches), torch.cat([data, data]))
