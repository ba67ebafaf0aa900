"""At which sizes pictures are shown, and what they cost: what the families' image processors do."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Protocol, Self

from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import smart_resize

from vigorl.core.geometry import Box, Size


class Sizing(Protocol):
    """The sizes at which an image processor shows pictures, and what they cost."""

    @property
    def min_pixels(self) -> int:
        """Smallest area."""
        ...

    @property
    def max_pixels(self) -> int:
        """Largest area."""
        ...

    @property
    def factor(self) -> int:
        """Pixels per token and side."""
        ...

    def within(self, *, min_pixels: int | None = None, max_pixels: int | None = None) -> Self:
        """The same between other limits; None leaves one.

        Raises:
            ConfigError: No size is within both.
        """
        ...

    def fit(self, size: Size) -> Size:
        """The size at which a picture of this one is shown: the processor's own, which it leaves
        as it is when an engine sizes it again.

        Raises:
            ValueError: There is none.
        """
        ...

    def fit_view(self, size: Size) -> Size:
        """The nearest size that `fit` leaves as it is."""
        ...

    def num_tokens(self, size: Size) -> int:
        """Placeholders of a picture shown at this size."""
        ...

    def grid_thw(self, size: Size) -> tuple[int, int, int]:
        """Pieces, and patch rows and patch columns of each, of a picture shown at this size."""
        ...

    def token_boxes(self, size: Size) -> list[Box]:
        """What each token of a picture shown at this size sees of it, pixels of that size."""
        ...

    def processor_settings(self) -> dict[str, Any]:
        """What an image processor elsewhere is told, so that it leaves these sizes as they are."""
        ...


_MOST_RESIZINGS = 16  # six have been seen


@dataclass(frozen=True, slots=True)
class PatchSizing:
    """Of processors that keep the aspect and cut the whole picture into patches: Qwen's.

    Attributes:
        patch_size: Side of a patch, pixels.
        merge_size: Patches per token and side.
        min_pixels, max_pixels: Smallest and largest area.
    """

    patch_size: int
    merge_size: int
    min_pixels: int
    max_pixels: int

    @property
    def factor(self) -> int:
        """Pixels per token and side; sides are multiples of it."""
        return self.patch_size * self.merge_size

    def within(
        self, *, min_pixels: int | None = None, max_pixels: int | None = None
    ) -> PatchSizing:
        return replace(
            self,
            min_pixels=self.min_pixels if min_pixels is None else min_pixels,
            max_pixels=self.max_pixels if max_pixels is None else max_pixels,
        )

    def fit(self, size: Size) -> Size:
        """The size at which a picture of this one is shown: the processor's own, which it leaves
        as it is when an engine sizes it again.

        The processor alone goes on shrinking banners, whose short side is already one token: of
        4000 x 100 with 4 x 4 tokens it makes 25 tokens, of those 20, then 17, then 16.

        Raises:
            ValueError: The picture is over 200 times as long as wide, or would be when shown; or
                no size of its shape is within both limits.
        """
        shown = self._resized(size)
        for _ in range(_MOST_RESIZINGS):
            again = self._resized(shown)
            if again == shown:
                return shown
            shown = again
        raise ValueError(
            f"{size.width}x{size.height} has no size between pixels.min_pixels={self.min_pixels} "
            f"and pixels.max_pixels={self.max_pixels} that an engine would leave as it is"
        )

    def _resized(self, size: Size) -> Size:
        """What the processor makes of it, once."""
        height, width = smart_resize(
            size.height, size.width, self.factor, self.min_pixels, self.max_pixels
        )
        return Size(width, height)

    def fit_view(self, size: Size) -> Size:
        """The nearest size that `fit` leaves as it is."""
        sides = (size.width, size.height)
        rounded = (max(round(side / self.factor), 1) * self.factor for side in sides)
        return self.fit(Size(*rounded))

    def num_tokens(self, size: Size) -> int:
        """Placeholders of a picture shown at this size."""
        return (size.width // self.factor) * (size.height // self.factor)

    def grid_thw(self, size: Size) -> tuple[int, int, int]:
        """One piece, and its patch rows and patch columns."""
        return (1, size.height // self.patch_size, size.width // self.patch_size)

    def token_boxes(self, size: Size) -> list[Box]:
        return grid_boxes(Box(0, 0, size.width, size.height), side_px=self.factor)

    def processor_settings(self) -> dict[str, Any]:
        return {"size": {"shortest_edge": self.min_pixels, "longest_edge": self.max_pixels}}


def grid_boxes(region: Box, *, side_px: int) -> list[Box]:
    """Squares of that side that cover a region, row by row from its upper left corner."""
    rows = range(round(region.bottom - region.top) // side_px)
    columns = range(round(region.right - region.left) // side_px)
    corners = [
        (region.left + column * side_px, region.top + row * side_px)
        for row in rows
        for column in columns
    ]
    return [Box(left, top, left + side_px, top + side_px) for left, top in corners]
