"""Does the answer follow what the crops show? The last turn again, with crops of another picture.

Each crop is replaced by one of the same size around a place where another question's rollout
looked, so the pictures are such as the policy knows: one that reads its crops now answers the other
question, one that does not stays with its answer.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from vigorl.core.geometry import Box, Size, window_around
from vigorl.core.media import ImageView
from vigorl.core.rollout import Rollout
from vigorl.rollout.dialog import Dialog
from vigorl.rollout.environment import Environment
from vigorl.rollout.probes.paired import PairedProbe, has_read_crops, with_shown


@dataclass(frozen=True, slots=True, kw_only=True)
class CropOther(PairedProbe):
    """Of answered rollouts with crops, where one of the others has crops of another picture that is
    large enough: the next one that has.
    """

    name: ClassVar = "crop_other"

    def changed(
        self, rollout: Rollout, *, environment: Environment, others: Iterable[Rollout]
    ) -> Dialog | None:
        if not has_read_crops(rollout):
            return None
        candidates = (_foreign(rollout.shown, other) for other in others)
        foreign = next((views for views in candidates if views), None)
        if foreign is None:
            return None
        views = iter(foreign)
        turns = with_shown(rollout.turns[:-1], lambda _: next(views))
        return environment.reopen(rollout, turns, group=self.group(rollout), seed=0)


def _foreign(shown: Sequence[ImageView], other: Rollout) -> list[ImageView]:
    """As many views of what another rollout was shown, of the same sizes; none where it cannot give
    them all. Where it was shown fewer, its last serves again.
    """
    pictures, theirs = {view.unmarked for view in shown}, other.shown
    if not theirs or pictures & {view.unmarked for view in theirs}:
        return []
    padded = [*theirs, *[theirs[-1]] * len(shown)]
    cuts = [_cut(view, like=own) for view, own in zip(padded, shown, strict=False)]
    found = [view for view in cuts if view is not None]
    return found if len(found) == len(shown) else []


def _cut(view: ImageView, *, like: ImageView) -> ImageView | None:
    """A part of a view's picture as large as the part that another shows, around the same middle;
    None where the picture is smaller than that.
    """
    size = _size(like.region)
    if size.width > view.original.width or size.height > view.original.height:
        return None
    window = window_around(view.region.center, size, view.original)
    return replace(view, size=like.size, box=window)


def _size(box: Box) -> Size:
    return Size(round(box.right - box.left), round(box.bottom - box.top))
