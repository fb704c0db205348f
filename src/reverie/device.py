"""The one device switch."""

from __future__ import annotations

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
