"""Sampling whose temperature follows the entropy of the tokens: first wide, then narrow."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from vigorl.core.ranges import AtLeastOne, BelowOne, FromOne, ShareAboveZero


@dataclass(frozen=True, slots=True, kw_only=True)
class EntropyControl:
    """A turn's temperature is multiplied by `high` until the moving average of the tokens' entropy
    has peaked, and by `low` from then on.

    Attributes:
        high: From 1 on.
        low: Above 0, at most 1.
        smoothing: What each step keeps of the average before it, in [0, 1).
        patience: Steps below the highest average after which it has peaked.
    """

    high: FromOne = 1.2
    low: ShareAboveZero = 0.3
    smoothing: BelowOne = 0.8
    patience: AtLeastOne = 3


@runtime_checkable
class EntropyControlled(Protocol):
    """An engine that has a hold on its logits.

    Attributes:
        entropy_control: Of all turns from now on; None samples as requests say.
    """

    entropy_control: EntropyControl | None
