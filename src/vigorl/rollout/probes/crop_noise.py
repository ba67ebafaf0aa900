"""Does the answer depend on what the crops show? The last turn again, with every crop noise.

Noise is as far from any picture as black is, but not flat: a policy that has learned what an empty
crop means gives itself away here.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import count
from typing import ClassVar

from vigorl.core.media import Noise
from vigorl.core.ranges import Seed, check_ranges
from vigorl.core.rollout import Rollout
from vigorl.rollout.dialog import Dialog
from vigorl.rollout.environment import Environment
from vigorl.rollout.probes.paired import PairedProbe, has_read_crops, with_shown
from vigorl.rollout.seeds import derive_seed


@dataclass(frozen=True, slots=True, kw_only=True)
class CropNoise(PairedProbe):
    """Of answered rollouts that were shown a picture by a tool.

    Attributes:
        seed: Of the noise, which is another one for each crop.
    """

    name: ClassVar = "crop_noise"
    seed: Seed = 0

    def __post_init__(self) -> None:
        check_ranges(self, "probes.crop_noise")

    def changed(
        self, rollout: Rollout, *, environment: Environment, others: Iterable[Rollout]
    ) -> Dialog | None:
        if not has_read_crops(rollout):
            return None
        seeds = (derive_seed(self.seed, rollout.task.id, number) for number in count())
        noisy = with_shown(
            rollout.turns[:-1], lambda view: view.edited(Noise(view.region, next(seeds)))
        )
        return environment.reopen(rollout, noisy, group=self.group(rollout), seed=0)
