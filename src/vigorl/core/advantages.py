"""Credit for a group of rollouts, and how much each token counts in its optimizer batch.

rewards of a group -> group_advantages -> a number per rollout, turn or token -> Credit
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from vigorl.core.errors import ConfigError
from vigorl.core.rollout import Rollout


class Normalization(StrEnum):
    """How token losses become the loss of a batch of B sequences, named as in the papers."""

    # all tokens of the batch count the same (DAPO, arXiv:2503.14476)
    TOKEN_MEAN = "token_mean"
    # mean over each sequence, then over sequences (GRPO, arXiv:2402.03300)
    SEQUENCE_MEAN = "sequence_mean"
    # sum over each sequence / a constant, mean over sequences (Dr. GRPO, arXiv:2503.20783)
    CONSTANT_LENGTH = "constant_length"
    # sum over each sequence, mean over sequences: long ones count more (LUSPO; verl's
    # seq-mean-token-sum)
    SEQUENCE_SUM = "sequence_sum"
    # mean over the tokens of each prompt's sequences that are in the batch, then over prompts
    # (ScaleRL, arXiv:2510.13786)
    PROMPT_MEAN = "prompt_mean"
    # sum over all tokens: the step grows with the batch (Tinker, SkyRL)
    TOKEN_SUM = "token_sum"


@dataclass(frozen=True, slots=True)
class Credit:
    """What one rollout's tokens are credited with, and which of them are learned from.

    Attributes:
        advantages: [L] unitless; 0.0 where nothing was sampled.
        loss_mask: [L] 1 on the tokens to learn from, all of them sampled.
        metrics: (sum, count) by name, of what is measured about the credit; added over rollouts.
        returns: [L] in units of the reward, what a critic should have expected before each sampled
            token; empty without a critic.
    """

    advantages: tuple[float, ...]
    loss_mask: tuple[int, ...]
    metrics: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    returns: tuple[float, ...] = ()

    def mean_advantage(self, rollout: Rollout) -> float:
        """The mean over its sampled tokens, learned from or not: one number for people to read.

        Where all tokens have the same advantage it is that one, to the last digit.
        """
        values = [a for a, m in zip(self.advantages, rollout.loss_mask, strict=True) if m]
        if not values or min(values) == max(values):
            return values[0] if values else 0.0
        return statistics.fmean(values)


def turn_credit(
    rollout: Rollout, advantages: Sequence[float], *, is_learned: bool = True
) -> Credit:
    """Credit every sampled token with the advantage of its turn.

    Args:
        rollout: With T turns.
        advantages: [T] unitless.
        is_learned: False masks all tokens.
    Raises:
        ValueError: Another number of advantages than turns.
    """
    of_turns = zip(rollout.turns, advantages, strict=True)
    values = [[advantage] * len(turn.completion_ids) for turn, advantage in of_turns]
    mask = rollout.loss_mask
    return Credit(rollout.spread(values, fill=0.0), mask if is_learned else (0,) * len(mask))


def group_advantages(
    rewards: Sequence[float],
    *,
    scale_by_std: bool = True,
    min_std: float = 0.0,
    eps: float = 1e-6,
) -> list[float]:
    """Center one group's rewards, optionally dividing by their spread.

    A_i = (r_i - mean) / (max(std, min_std) + eps); std is the sample std (n - 1), as in the
    released code, whose min_std is 0: there a group that differs in a small bonus alone, such as
    one in which all are right, pulls as hard as one half of which is wrong.

    Args:
        rewards: [G] one scalar per rollout of the same prompt, G >= 2.
        scale_by_std: False gives the mean-only baseline (Dr. GRPO; the paper's text).
        min_std: Spreads below it are not blown up to 1, in reward units.
        eps: Added to std, in reward units.
    Returns:
        [G] unitless advantages in input order; all 0.0 when the rewards are equal.
    Raises:
        ValueError: G < 2, or a reward is not finite.
    Source: GRPO, arXiv:2402.03300, eq. 3.
    """
    if len(rewards) < 2:
        raise ValueError(f"a group needs at least two rollouts to compare, got {len(rewards)}")
    if not all(math.isfinite(reward) for reward in rewards):
        raise ValueError(f"rewards must be finite, got {list(rewards)}")
    if max(rewards) == min(rewards):
        return [0.0] * len(rewards)
    mean = statistics.fmean(rewards)
    scale = max(statistics.stdev(rewards), min_std) + eps if scale_by_std else 1.0
    return [(reward - mean) / scale for reward in rewards]


def token_weights(
    num_tokens: Sequence[int],
    *,
    normalization: Normalization,
    constant_length: int | None = None,
    groups: Sequence[str] = (),
) -> list[float]:
    """What each loss token of each sequence counts, over one WHOLE optimizer batch.

    Whole means all ranks and all micro-batches: the weights are fixed before the batch is cut, so
    no cut can change the loss.

    Args:
        num_tokens: [B] loss tokens per sequence; a sequence with none weighs nothing.
        normalization: How tokens are averaged.
        constant_length: Tokens; the divisor of CONSTANT_LENGTH.
        groups: [B] which prompt each sequence is of; only PROMPT_MEAN reads it.
    Returns:
        [B] weights w with loss = sum_i w_i * sum_t loss_it.
    Raises:
        ValueError: CONSTANT_LENGTH without a constant, PROMPT_MEAN without groups, or a batch
            without any loss token.

    >>> token_weights([2, 6], normalization=Normalization.TOKEN_MEAN)
    [0.125, 0.125]
    >>> token_weights([2, 4], normalization=Normalization.SEQUENCE_MEAN)
    [0.25, 0.125]
    >>> token_weights([1, 3, 2], normalization=Normalization.PROMPT_MEAN, groups=["a", "a", "b"])
    [0.125, 0.125, 0.25]
    """
    if not any(num_tokens):
        raise ValueError("no token to learn from in the optimizer batch")
    if normalization is Normalization.TOKEN_MEAN:
        return [1.0 / sum(num_tokens)] * len(num_tokens)
    if normalization is Normalization.SEQUENCE_MEAN:
        return [1.0 / (len(num_tokens) * count) if count else 0.0 for count in num_tokens]
    if normalization is Normalization.SEQUENCE_SUM:
        return [1.0 / len(num_tokens)] * len(num_tokens)
    if normalization is Normalization.TOKEN_SUM:
        return [1.0] * len(num_tokens)
    if normalization is Normalization.PROMPT_MEAN:
        return _prompt_means(num_tokens, groups)
    if not constant_length:
        raise ValueError("constant_length normalisation needs `constant_length` (tokens)")
    return [1.0 / (len(num_tokens) * constant_length)] * len(num_tokens)


def _prompt_means(num_tokens: Sequence[int], groups: Sequence[str]) -> list[float]:
    if len(groups) != len(num_tokens):
        raise ValueError("prompt_mean normalisation needs to know which prompt a sequence is of")
    totals = dict.fromkeys(groups, 0)
    for group, count in zip(groups, num_tokens, strict=True):
        totals[group] += count
    return [1.0 / (len(totals) * totals[group]) if totals[group] else 0.0 for group in groups]


def check_normalization(name: str, constant_length: int | None) -> None:
    """Refuse settings of `token_weights` that do not exist, are missing or have no effect.

    Raises:
        ConfigError: Says which, and why.
    """
    if name not in list(Normalization):
        raise ConfigError(f"normalization must be one of {', '.join(Normalization)}, got {name!r}")
    is_constant = name == Normalization.CONSTANT_LENGTH
    if is_constant and not (constant_length and constant_length > 0):
        raise ConfigError(
            "normalization=constant_length needs constant_length (tokens, above 0), "
            f"got {constant_length}"
        )
    if not is_constant and constant_length is not None:
        raise ConfigError(f"constant_length has no effect with normalization={name}")
