"""Blocks of a sweep settle on the sequential draw; the machine's own tests hold whole sweeps against the plain loop."""

from __future__ import annotations

import torch

from reverie import sweeps


def test_the_strongest_couplings_take_as_many_rounds_as_units():
    """A chain of 40 units, each forced to be what the one before is: the fixed point is still the sequential draw."""
    U = torch.zeros(40, 40)
    for i in range(39):
        U[i, i + 1] = U[i + 1, i] = 100.0
    state = torch.zeros(1, 40)
    t = torch.full((1, 40), 50.0)
    for settled in (sweeps._settled, sweeps._settled_here):
        t[0, 0] = -1.0
        assert torch.equal(settled(t, U.triu(1)), torch.ones(1, 40))
        t[0, 0] = 1.0
        assert torch.equal(settled(t, U.triu(1)), state)


def test_both_ways_to_settle_agree():
    """torch's, which runs on a GPU, and NumPy's; with a temperature for each row and without."""
    rng = torch.Generator().manual_seed(0)
    t, U = 3 * torch.randn(60, 30, generator=rng), torch.randn(30, 30, generator=rng).triu(1)
    for rows in (None, torch.rand(60, 1, generator=rng)):
        assert torch.equal(sweeps._settled(t, U, rows), sweeps._settled_here(t, U, rows))
