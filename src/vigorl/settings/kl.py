"""Groups of the KL to the reference."""

from __future__ import annotations

from vigorl.settings.kinds import AtLeastOne, Flag, Group, Positive, Share, ShareAboveZero


class KLControl(Group):
    target: Positive
    horizon: Positive


class MovingReference(Group):
    alpha: ShareAboveZero
    every: AtLeastOne
    reset_optimizer: Flag


class KLSchedule(Group):
    end: Share
