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
