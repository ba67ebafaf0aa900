"""What most rewards of the papers share: the range [0, 1], and the checks of their settings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from vigorl.core.errors import ConfigError


class UnitReward:
    """A reward of which nothing is below 0 or above 1."""

    __slots__ = ()

    @property
    def range(self) -> tuple[float, float]:
        return (0.0, 1.0)


def check_shares(reward: str, **settings: float) -> None:
    """Raises ConfigError where one of the settings is no share from 0 to 1."""
    for key, value in settings.items():
        if not 0 <= value <= 1:
            raise ConfigError(f"reward {reward!r}: {key} must be a share, from 0 to 1, got {value}")


def check_positive(reward: str, **settings: float) -> None:
    """Raises ConfigError where one of the settings is not above 0."""
    for key, value in settings.items():
        if not value > 0:
            raise ConfigError(f"reward {reward!r}: {key} must be above 0, got {value}")


def check_choice(reward: str, choices: Sequence[str], **settings: str) -> None:
    """Raises ConfigError where one of the settings is none of the choices."""
    for key, value in settings.items():
        if value not in choices:
            allowed = ", ".join(choices)
            raise ConfigError(f"reward {reward!r}: {key} must be one of {allowed}, got {value!r}")


def check_weights(reward: str, weights: Mapping[str, float]) -> None:
    """Raises ConfigError where a weight is negative, or all are 0."""
    if min(weights.values()) < 0 or not any(weights.values()):
        raise ConfigError(
            f"reward {reward!r}: {', '.join(weights)} must not be negative, and not all 0, "
            f"got {', '.join(f'{value:g}' for value in weights.values())}"
        )
