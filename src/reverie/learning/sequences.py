"""Sequences of unequal length as the loop's data: one behind the other, picked and batched as wholes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Self

import torch
from torch import Tensor

from reverie.inference import alignment


@dataclass(frozen=True)
class Sequences:
    """B sequences, N steps in all.

    Attributes:
        rows: their steps, (N, d), sequence behind sequence.
        lengths: steps of each, (B,) int64, on the CPU.
        labels: what is known of the hidden state at each step, (N,) int64 with −1 for nothing; None for nothing at all.
        place: where each step stands in ``rows``, (N,), if not sequence behind sequence.
    """

    rows: Tensor
    lengths: Tensor
    labels: Tensor | None = None
    place: Tensor | None = None

    def __len__(self) -> int:
        return len(self.lengths)

    @property
    def device(self) -> torch.device:
        """Where the steps are."""
        return self.rows.device

    @property
    def shape(self) -> tuple[int, int]:
        """Sequences, and numbers a step."""
        return len(self.lengths), self.rows.shape[1]

    @property
    def ends(self) -> Tensor:
        """The row of each sequence's last step: (B,), where the rows are."""
        last = (self.lengths.cumsum(0) - 1).to(self.device)
        return last if self.place is None else self.place[last]

    @cached_property
    def aligned(self) -> Self:
        """The same with their steps side by side, as inference takes them fastest."""
        if len(self) == 1:
            return self
        order, place = alignment(self.lengths, self.device)
        labels = None if self.labels is None else self.labels[order]
        return replace(self, rows=self.rows.index_select(0, order), labels=labels, place=place)

    def to(self, device: torch.device) -> Self:
        """On another device."""
        return self.with_rows(self.rows.to(device), None if self.labels is None else self.labels.to(device))

    def with_rows(self, rows: Tensor, labels: Tensor | None) -> Self:
        """Other steps of the same lengths."""
        return replace(self, rows=rows, labels=labels)

    def index_select(self, dim: int, index: Tensor) -> Self:
        """Some of the sequences, in the order in which they are kept, a batch being a set; all of them cost nothing."""
        chosen = index.cpu().sort().values
        if len(chosen) == len(self) and torch.equal(chosen, torch.arange(len(self))):
            return self
        lengths = self.lengths[chosen]
        within = torch.arange(int(lengths.sum())) - (lengths.cumsum(0) - lengths).repeat_interleave(lengths)
        rows = (self.lengths.cumsum(0) - self.lengths)[chosen].repeat_interleave(lengths) + within
        rows = rows.to(self.device)
        labels = None if self.labels is None else self.labels[rows]
        return replace(self, rows=self.rows.index_select(0, rows), lengths=lengths, labels=labels)

    def __getitem__(self, index: Any) -> Self:
        if isinstance(index, slice):
            index = torch.arange(len(self))[index]
        return self.index_select(0, index)

    def first(self, steps: int) -> Self:
        """The beginning: so many steps, the last of their sequences cut short."""
        before = self.lengths.cumsum(0) - self.lengths
        lengths = torch.minimum(self.lengths, (steps - before).clamp_min(0))
        lengths, total = lengths[lengths > 0], int(lengths.sum())
        return replace(
            self, rows=self.rows[:total], lengths=lengths, labels=None if self.labels is None else self.labels[:total]
        )

    def summed(self, x: Tensor) -> Tensor:
        """Sums over the steps of each sequence: (N,) -> (B,)."""
        owner = torch.arange(len(self)).repeat_interleave(self.lengths).to(x.device)
        return x.new_zeros(len(self)).index_add_(0, owner, x)

    def split(self, x: Any) -> Iterator[Any]:
        """What belongs to the steps, sequence by sequence: (N, …) -> B times (T, …)."""
        start = 0
        for length in self.lengths.tolist():
            yield x[start : start + length]
            start += length
