"""The players of a DCGAN for 32 × 32 grey images as one writes them with torch's own layers."""

from __future__ import annotations

from torch import nn

BATCH, LATENT, MAPS = 64, 100, 32


def networks() -> tuple[nn.Module, nn.Module]:
    """G, from (B, LATENT) to images (B, 1, 32, 32), and D, to log-odds (B, 1)."""
    G = nn.Sequential(
        nn.Linear(LATENT, 4 * MAPS * 16, bias=False),
        nn.Unflatten(1, (4 * MAPS, 4, 4)),
        nn.BatchNorm2d(4 * MAPS),
        nn.ReLU(),
        nn.ConvTranspose2d(4 * MAPS, 2 * MAPS, 4, 2, 1, bias=False),
        nn.BatchNorm2d(2 * MAPS),
        nn.ReLU(),
        nn.ConvTranspose2d(2 * MAPS, MAPS, 4, 2, 1, bias=False),
        nn.BatchNorm2d(MAPS),
        nn.ReLU(),
        nn.ConvTranspose2d(MAPS, 1, 4, 2, 1),
        nn.Tanh(),
    )
    D = nn.Sequential(
        nn.Conv2d(1, MAPS, 4, 2, 1),
        nn.LeakyReLU(0.2),
        nn.Conv2d(MAPS, 2 * MAPS, 4, 2, 1, bias=False),
        nn.BatchNorm2d(2 * MAPS),
        nn.LeakyReLU(0.2),
        nn.Conv2d(2 * MAPS, 4 * MAPS, 4, 2, 1, bias=False),
        nn.BatchNorm2d(4 * MAPS),
        nn.LeakyReLU(0.2),
        nn.Flatten(),
        nn.Linear(4 * MAPS * 16, 1),
    )
    return G, D
