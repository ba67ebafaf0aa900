"""Answers that are none: they count as wrong, and a report says how many there were."""

from __future__ import annotations

import re
from collections.abc import Sequence

from vigorl.core.rollout import Rollout
from vigorl.evaluation.judging import Judging

_REFUSAL = re.compile(
    r"\b(?:i(?:'m| am)? (?:\w+ )?(?:sorry|apologi[sz]e|cannot|can't|can not|unable to|not able to"
    r"|won't|will not|don't have enough)|as an ai\b"
    r"|not possible to (?:answer|tell|determine|say)"
    r"|(?:cannot|can't|can not) be (?:determined|answered|seen)"
    r"|(?:unable|impossible) to (?:answer|determine|tell))"
    r"|抱歉|对不起|无法|不能回答",
    re.IGNORECASE,
)


def answer_metrics(rollouts: Sequence[Rollout], judging: Judging) -> dict[str, float]:
    """Shares of all rollouts; those that a limit has cut are `rollout/truncated_frac`.

    Keys: `answer/unreadable_frac`: without an answer of the kind asked for; `answer/refused_frac`:
    those of them whose last turn says that the policy cannot or will not answer.
    """
    unreadable = [rollout for rollout in rollouts if not judging.is_readable(rollout)]
    refused = sum(is_refusal(rollout.turns[-1].text) for rollout in unreadable)
    return {
        "answer/unreadable_frac": len(unreadable) / len(rollouts),
        "answer/refused_frac": refused / len(rollouts),
    }


def is_refusal(text: str) -> bool:
    """Whether a text says in English or Chinese that there will be no answer."""
    return bool(_REFUSAL.search(text.replace("\u2019", "'")))
