"""The entropy of the tokens of several rows, followed while they are sampled."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from vigorl.core.entropy_control import EntropyControl


class EntropyTrack:
    """Says by how much each row's temperature is multiplied; see `EntropyControl`.

    Args:
        control: Of all rows.
        num_rows: At their first tokens.
        device: Where.
    """

    def __init__(self, control: EntropyControl, num_rows: int, device: torch.device) -> None:
        self._control = control
        self._mean = torch.full((num_rows,), torch.nan, device=device)  # moving average, nats
        self._peak = torch.full((num_rows,), -torch.inf, device=device)
        self._below = torch.zeros(num_rows, dtype=torch.long, device=device)  # steps since the peak
        self._has_peaked = torch.zeros(num_rows, dtype=torch.bool, device=device)

    def select(self, rows: Int[Tensor, " kept"]) -> None:
        """Keep these rows only, in this order."""
        self._mean, self._peak = self._mean[rows], self._peak[rows]
        self._below, self._has_peaked = self._below[rows], self._has_peaked[rows]

    def join(self, other: EntropyTrack) -> None:
        """The rows of another of the same control behind its own."""
        self._mean, self._peak = (
            torch.cat([self._mean, other._mean]), torch.cat([self._peak, other._peak])
        )  # fmt: skip
        self._below = torch.cat([self._below, other._below])
        self._has_peaked = torch.cat([self._has_peaked, other._has_peaked])

    def factors(self, logprobs: Float[Tensor, "rows vocab"]) -> Float[Tensor, " rows"]:
        """What the temperature of the coming token is multiplied by, from its distribution."""
        control, entropy = self._control, torch.special.entr(logprobs.exp()).sum(-1)
        before = torch.where(self._mean.isnan(), entropy, self._mean)  # its first token
        mean = control.smoothing * before + (1 - control.smoothing) * entropy
        self._below = torch.where(mean > self._peak, 0, self._below + 1)
        self._mean, self._peak = mean, torch.maximum(self._peak, mean)
        self._has_peaked |= self._below >= control.patience
        return torch.where(self._has_peaked, control.low, control.high)
