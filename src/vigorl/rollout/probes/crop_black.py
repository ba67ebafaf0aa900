"""Does the answer depend on what the crops show? The last turn again, with every crop black.

Thoughts before the last turn stay: what they already say about a crop can still be read there.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

from vigorl.core.media import Fill
from vigorl.core.rollout import Rollout
from vigorl.rollout.dialog import Dialog
from vigorl.rollout.environment import Environment
from vigorl.rollout.probes.paired import PairedProbe, has_read_crops, with_shown


@dataclass(frozen=True, slots=True, kw_only=True)
class CropBlack(PairedProbe):
    """Of answered rollouts that were shown a picture by a tool."""

    name: ClassVar = "crop_black"

    def changed(
        self, rollout: Rollout, *, environment: Environment, others: Iterable[Rollout]
    ) -> Dialog | None:
        if not has_read_crops(rollout):
            return None
        black = with_shown(rollout.turns[:-1], lambda view: view.edited(Fill()))
        return environment.reopen(rollout, black, group=self.group(rollout), seed=0)
