"""Does the answer depend on what the crops show? The last turn again, with every crop black.

Both are answered greedily, with the crops as they were and with black ones, so that the difference
is the pictures' and not the sampling's. Thoughts before the last turn stay: what they already say
about a crop can still be read there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from vigorl.core.media import Fill
from vigorl.core.rollout import Rollout
from vigorl.rollout.environment import Dialog, Environment
from vigorl.rollout.probes.probe import Schedule


@dataclass(frozen=True, slots=True, kw_only=True)
class CropBlack:
    """A `Probe` of answered rollouts that were shown a picture by a tool.

    `crop_black` is 1.0 where the answer changes, else 0.0; `crop_black_drop` is how much of the
    score goes, in [-1, 1].

    Attributes:
        schedule: When it asks.
    """

    schedule: Schedule = field(default_factory=Schedule)

    def dialogs(self, rollout: Rollout, *, environment: Environment) -> list[Dialog]:
        if rollout.answer is None or not rollout.shown:
            return []
        kept = rollout.turns[:-1]
        black = [
            replace(turn, views=tuple(view.edited(Fill()) for view in turn.views)) for turn in kept
        ]
        greedy = environment.greedy()
        return [
            greedy.reopen(rollout, turns, group=f"{rollout.group}/{name}", seed=0)
            for name, turns in (("crop_seen", kept), ("crop_black", black))
        ]

    def measure(self, rollout: Rollout, answers: Sequence[Rollout]) -> Mapping[str, float]:
        seen, black = answers
        return {
            "crop_black": float(seen.answer != black.answer),
            "crop_black_drop": seen.score - black.score,
        }
