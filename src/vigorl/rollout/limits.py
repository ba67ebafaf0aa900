"""How far a dialog may go."""

from __future__ import annotations

from dataclasses import dataclass

from vigorl.core.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutLimits:
    """How far a dialog may go.

    Attributes:
        max_turns: Assistant turns, the answering one included.
        max_images: Pictures of the prompt and crops together.
        max_new_tokens: Sampled tokens per turn.
        max_response_tokens: Everything after the prompt: completions, prefixes and observations,
            pictures expanded.
        forced_answer: Open the last allowed turn (not the first) with `FORCED_ANSWER_PREFIX`,
            which is never trained on.
        max_calls_per_turn: Tool calls that one turn may make; a turn with more is told so, and none
            is carried out.
    """

    max_turns: int
    max_images: int
    max_new_tokens: int
    max_response_tokens: int
    forced_answer: bool = False
    max_calls_per_turn: int = 1

    def __post_init__(self) -> None:
        for key in (
            "max_turns", "max_images", "max_new_tokens", "max_response_tokens",
            "max_calls_per_turn",
        ):  # fmt: skip
            if getattr(self, key) < 1:
                raise ConfigError(f"limits.{key} must be at least 1, got {getattr(self, key)}")
        if self.max_new_tokens > self.max_response_tokens:
            raise ConfigError(
                f"limits.max_new_tokens={self.max_new_tokens} has no effect above "
                f"limits.max_response_tokens={self.max_response_tokens}"
            )
        if self.forced_answer and self.max_turns == 1:
            raise ConfigError("limits.forced_answer has no effect with limits.max_turns=1")
        if self.max_calls_per_turn > 1 and self.max_turns == 1:
            raise ConfigError("limits.max_calls_per_turn has no effect with limits.max_turns=1")
