"""Groups of the KL to the reference."""

from __future__ import annotations

from vigorl.core.ranges import AtLeastOne, Share, ShareAboveZero
from vigorl.settings.kinds import Flag, Group


class MovingReference(Group):
    alpha: ShareAboveZero
    every: AtLeastOne
    reset_optimizer: Flag


class KLSchedule(Group):
    end: Share
