"""A picture as it is sent to a service, and how places in it are places of the file."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache

from PIL import Image

from vigorl.core.geometry import Box, Point, Size
from vigorl.core.media import ImageView
from vigorl.rollout.tools.remade import shown_part


@dataclass(frozen=True)
class Sent:
    """What a view shows, in the pixels of its file, made smaller where it has too many.

    Attributes:
        view: What is shown to the policy; what is drawn on it is not sent.
        most_pixels: Of what is sent.
        multiple_of: What both sides are multiples of, for models that would scale it themselves.
    """

    view: ImageView
    most_pixels: int
    multiple_of: int = 1

    @cached_property
    def size(self) -> Size:
        """In pixels; what is sent is this large."""
        region, step = self.view.region, self.multiple_of
        wide, high = region.right - region.left, region.bottom - region.top
        scale = min(math.sqrt(self.most_pixels / (wide * high)), 1.0)
        sides = [max(round(scale * side / step), 1) * step for side in (wide, high)]
        return Size(*sides)

    @property
    def picture(self) -> Image.Image:
        """What is sent; shared by all who send it, so never to be changed."""
        plain = replace(self.view, source=self.view.unmarked, size=Size(1, 1))
        return _scaled(plain, (self.size.width, self.size.height))

    def to_sent(self, point: Point) -> list[float]:
        """An ORIGINAL-frame place as [x, y] of what is sent, to a tenth of a pixel."""
        x = (point.x - self.view.region.left) / self._scale[0]
        y = (point.y - self.view.region.top) / self._scale[1]
        return [round(x, 1), round(y, 1)]

    def box_to_sent(self, box: Box) -> list[float]:
        """Likewise a box, as [left, top, right, bottom]."""
        corners = Point(box.left, box.top), Point(box.right, box.bottom)
        return [number for corner in corners for number in self.to_sent(corner)]

    def box_to_original(self, box: Sequence[object], *, grid: Size | None = None) -> Box | None:
        """The ORIGINAL-frame box of what a service has written, kept on the view; None where it is
        no box, or is off it.

        Args:
            box: [left, top, right, bottom].
            grid: What its numbers count in place of the pixels sent.
        """
        numbers = [n for n in box if isinstance(n, int | float) and math.isfinite(n)]
        if len(box) != 4 or len(numbers) != 4:
            return None
        region, grid = self.view.region, grid or self.size
        x, y = (region.right - region.left) / grid.width, (region.bottom - region.top) / grid.height
        left, right = (min(max(n * x, 0), region.right - region.left) for n in numbers[::2])
        top, bottom = (min(max(n * y, 0), region.bottom - region.top) for n in numbers[1::2])
        if right - left < 1e-6 or bottom - top < 1e-6:
            return None
        return Box(region.left + left, region.top + top, region.left + right, region.top + bottom)

    @property
    def _scale(self) -> tuple[float, float]:
        region = self.view.region
        wide, high = region.right - region.left, region.bottom - region.top
        return wide / self.size.width, high / self.size.height


@lru_cache(maxsize=16)  # a group's rollouts, and both halves of a call, send the same
def _scaled(part: ImageView, size: tuple[int, int]) -> Image.Image:
    whole = shown_part(part)
    return whole if whole.size == size else whole.resize(size, Image.Resampling.BICUBIC)
