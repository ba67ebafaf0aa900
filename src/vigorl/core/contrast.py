"""A question asked twice, once with one thing changed: the scores, and whether the answer moved.

Probes keep each contrast as three of `Rollout.probes`, and whoever shows them finds it there again:

    crop_black          1.0 where the answer changes, else 0.0
    crop_black_drop     score as it was minus score under the change, in [-1, 1]
    crop_black_score    score under the change, in [0, 1]
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from vigorl.core.rollout import Rollout
from vigorl.core.scoring.text import option_index

_DROP, _SCORE = "_drop", "_score"


@dataclass(frozen=True, slots=True)
class Contrast:
    """One thing changed.

    Attributes:
        before: Score as it was, in [0, 1].
        after: Score under the change.
        is_changed: Whether the answer is another one.
    """

    before: float
    after: float
    is_changed: bool

    @classmethod
    def of(cls, before: Rollout, after: Rollout) -> Contrast:
        """Of two rollouts of one question."""
        return cls(before.score, after.score, _said(before) != _said(after))

    def numbers(self, name: str) -> dict[str, float]:
        """As they are kept."""
        return {
            name: float(self.is_changed),
            name + _DROP: self.before - self.after,
            name + _SCORE: self.after,
        }


def contrasts_of(probes: Mapping[str, float]) -> dict[str, Contrast]:
    """Those among a rollout's numbers, by name."""
    return {
        name: Contrast(probes[name + _SCORE] + probes[name + _DROP], probes[name + _SCORE], bool(n))
        for name, n in probes.items()
        if name + _DROP in probes and name + _SCORE in probes
    }


def other_numbers(probes: Mapping[str, float]) -> dict[str, float]:
    """Those that belong to no contrast."""
    names = contrasts_of(probes)
    kept = {name + end for name in names for end in ("", _DROP, _SCORE)}
    return {name: value for name, value in probes.items() if name not in kept}


def _said(rollout: Rollout) -> int | str | None:
    """What counts as one answer: the option, however it is named, else the text."""
    answer = rollout.answer
    if answer is None:
        return None
    found = option_index(answer, rollout.task.options) if rollout.task.options else None
    return answer if found is None else found
