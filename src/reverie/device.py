"""The one device switch, and the one thread switch."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from reverie.errors import UsageError


def resolve(name: str) -> torch.device:
    """The device that ``auto``, ``cpu``, ``cuda`` or ``cuda:1`` stands for; ``auto`` takes a GPU where there is one.

    Raises:
        UsageError: ``cuda`` was asked for and none can be used.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    device = torch.device(name)
    if device.type == "cuda" and not torch.cuda.is_available():
        raise UsageError("device='cuda' was asked for, but torch finds no usable GPU; use device='auto' or 'cpu'")
    return device


def for_saved(name: str) -> torch.device:
    """Where the parameters of a saved model go: the device it was made for if this machine has it, else the CPU."""
    return torch.device("cpu") if name.startswith("cuda") and not torch.cuda.is_available() else resolve(name)


SMALL = 2**20
"""Multiply-adds of a matrix product below which a second thread costs more than it brings."""


@contextmanager
def threads_for(work: int) -> Iterator[None]:
    """One thread while products of ``work`` multiply-adds are small, the caller's number otherwise.

    Threads that wait for each other spin: on a busy machine a small product on two of them can take a hundred times as
    long as on one. The choice depends on the sizes alone, so that the bits do not depend on what else the machine does.
    """
    before = torch.get_num_threads()
    if work >= SMALL or before == 1:
        yield
        return
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
