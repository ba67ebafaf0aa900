"""Sampling whose temperature goes by the entropy of the tokens.

Source: the switch of V-Reason, arXiv:2510.17045 (abstract: entropy is raised until its moving
average has peaked, then lowered). There a value offset in the cache is optimised while decoding, of
which no code is published; here the logits are scaled, without gradients.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vigorl.core.entropy_control import EntropyControl, EntropyControlled
from vigorl.core.errors import ConfigError
from vigorl.core.protocols import Engine
from vigorl.core.ranges import AtLeastOne, BelowOne, FromOne, Positive, ShareAboveZero, check_ranges
from vigorl.rollout.inference.rule import InferenceRule

if TYPE_CHECKING:
    from vigorl.rollout.environment import Environment


@dataclass(frozen=True, kw_only=True)
class Entropy(InferenceRule):
    """One sampled rollout; see `EntropyControl` for the last four.

    Attributes:
        temperature: That is moved.
        high: Until the entropy has peaked.
        low: From then on.
        smoothing: Of the moving average.
        patience: Tokens below the highest average.
    """

    temperature: Positive = 1.0
    high: FromOne = 1.2
    low: ShareAboveZero = 0.3
    smoothing: BelowOne = 0.8
    patience: AtLeastOne = 3

    def __post_init__(self) -> None:
        check_ranges(self, "inference")

    def settings(self) -> dict[str, Any]:
        names = ("temperature", "high", "low", "smoothing", "patience")
        return {"rule": "Entropy", **{name: getattr(self, name) for name in names}}

    def attach(self, engine: Engine) -> None:
        if not isinstance(engine, EntropyControlled):
            raise ConfigError(
                f"inference=entropy needs a hold on the logits, which {type(engine).__name__} does "
                "not give: set engine=hf"
            )
        engine.entropy_control = EntropyControl(
            high=self.high, low=self.low, smoothing=self.smoothing, patience=self.patience
        )

    def sampled(self, environment: Environment) -> Environment:
        return environment.exploring(temperature=self.temperature, noise=None)
