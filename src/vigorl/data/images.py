"""From picture files to the pixels that the model sees.

An `ImageView` says what is shown; `ImageStore` turns it into patches. Every crop is cut from the
ORIGINAL file, resized once, and then made into patches as the Hugging Face image processor does
with its own resizing off, so that whole pictures come out bit for bit as the processor alone would
make them (a test holds this) and crops go the same way.

Kept, within a limit, are bytes: decoded originals, and views at the size in which they are shown.
Patches are floats, and a Qwen processor writes each pixel twice: 24 bytes for 3. They are made anew
for whoever asks, and live no longer than the step that takes them.

Left out on purpose: videos as one input (their frames are pictures, named as such), and the
torchvision backend (its antialiasing differs from Pillow's in the last bits; training, evaluation
and every engine must see the same pixels).
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from operator import attrgetter
from typing import Any

import numpy as np
import torch
from cachetools import LRUCache, cachedmethod
from jaxtyping import Float, Int, UInt8
from PIL import Image
from torch import Tensor
from transformers import AutoImageProcessor

from vigorl.core.errors import ConfigError, DataError
from vigorl.core.geometry import Size
from vigorl.core.media import ImageView, Source, most_pixels_of, source_of
from vigorl.data.pictures import FORMATS as FORMATS
from vigorl.data.pictures import MAX_PICTURE_PIXELS as MAX_PICTURE_PIXELS
from vigorl.data.pictures import marked as marked
from vigorl.data.pictures import open_image as open_image
from vigorl.data.pictures import open_source, picture_error
from vigorl.data.pictures import read_size as read_size
from vigorl.families.family import Family
from vigorl.families.loading import reading
from vigorl.families.lookup import family_of

_CACHES = threading.Lock()  # of all stores: the demo draws what its engine is looking at
_MOST_SIZES = 1 << 20  # a server sees new pictures as long as it runs


@dataclass(frozen=True, slots=True)
class PixelBlock:
    """One picture as the vision tower takes it.

    Attributes:
        pixel_values: Normalised patches or tiles, in the order of the tower.
        grid_thw: As the family's `Sizing` says.
    """

    pixel_values: Float[Tensor, "pieces ..."]
    grid_thw: tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class PixelBatch:
    """Several pictures as the vision tower takes them; see `PixelBlock`."""

    pixel_values: Float[Tensor, "pieces ..."]
    grid_thw: Int[Tensor, "images 3"]


class ImageStore:
    """Sizes, tokens, pixels and pictures of views, with decoded originals and shown views cached.

    Args:
        processor: The family's Hugging Face image processor, Pillow backend.
        family: Says at which sizes pictures are shown, and how texts write coordinates in them.
        cache_bytes: For decoded originals and shown views together; half each. A worker process
            has its own.
    Raises:
        ConfigError: The processor is not one of the family's, or not the Pillow one.
    """

    def __init__(
        self,
        processor: Any,
        *,
        family: Family,
        cache_bytes: int = 1 << 30,
    ) -> None:
        if getattr(processor, "backend", "pil") != "pil":
            raise ConfigError(
                "the image processor must be the Pillow one: load it with backend='pil'"
            )
        self._processor, self._family = processor, family
        self.sizing, self.frame = family.sizing(processor), family.frame
        self._sizes: dict[str, Size] = {}  # threads share it, and an LRUCache knows none
        self.originals: LRUCache[str, Image.Image] = LRUCache(
            cache_bytes // 2,
            getsizeof=lambda made: made.width * made.height * 4,  # Pillow keeps RGB in four bytes
        )
        self.shown: LRUCache[str, UInt8[np.ndarray, "height width 3"]] = LRUCache(
            cache_bytes // 2, getsizeof=lambda made: made.nbytes
        )

    @classmethod
    def from_pretrained(
        cls,
        folder: str | os.PathLike[str],
        *,
        min_pixels: int | None = None,
        max_pixels: int | None = None,
        cache_bytes: int = 1 << 30,
    ) -> ImageStore:
        """The store of a model folder (or hub name); the two limits replace the folder's own."""
        with reading(folder):
            processor = AutoImageProcessor.from_pretrained(
                str(folder), backend="pil", trust_remote_code=False
            )
        store = cls(processor, family=family_of(folder), cache_bytes=cache_bytes)
        store.sizing = store.sizing.within(min_pixels=min_pixels, max_pixels=max_pixels)
        return store

    def whole(self, path: str | os.PathLike[str], *, source: str = "") -> ImageView:
        """The whole picture at the size at which the processor shows it, or of a frame whose name
        says so at one of fewer pixels; reads the file's header only.

        Raises:
            DataError: The file is missing or not a picture, or it is more than 200 times as long as
                wide.
        """
        name = os.fspath(path)
        original = self._sizes.get(name)
        if original is None:
            original = read_size(name, source=source or None)
            if len(self._sizes) >= _MOST_SIZES:
                self._sizes.clear()
            self._sizes[name] = original
        sizing, most = self.sizing, most_pixels_of(name)
        if most is not None:
            # no fewer than the model takes, no more than it may
            most = max(min(most, sizing.max_pixels), sizing.min_pixels)
            sizing = sizing.within(max_pixels=most)
        try:
            size = sizing.fit(original)
        except ValueError as error:
            raise picture_error(path, source or None, str(error)) from error
        return ImageView(source_of(name), original, size, frame=self.frame)

    def fit(self, view: ImageView) -> ImageView:
        """The view at the nearest size that no engine would change again: sides are whole tokens
        (or tiles), and the area is within the pixel limits.
        """
        return replace(view, size=self.sizing.fit_view(view.size))

    def num_tokens(self, view: ImageView) -> int:
        """How many placeholders the view takes in the expanded ids."""
        return self.sizing.num_tokens(view.size)

    def grid_thw(self, view: ImageView) -> tuple[int, int, int]:
        """Pieces, and patch rows and patch columns of each, without reading the file."""
        return self.sizing.grid_thw(view.size)

    def image(self, view: ImageView) -> Image.Image:
        """The view as an RGB picture of `view.size`, the caller's own; the processor would not
        resize it again.

        Raises:
            DataError: The file cannot be decoded, or is not the picture that the view was made
                from.
        """
        return Image.fromarray(self._shown(view))

    def pixels(self, view: ImageView) -> PixelBlock:
        """The view's patches.

        Raises:
            DataError: As `image`.
        """
        made = self._family.pixels(self._processor, self._shown(view))
        return PixelBlock(made, self.grid_thw(view))

    def batch(self, views: Sequence[ImageView]) -> PixelBatch:
        """The patches of several views, in their order.

        What is not cached is decoded and resized by as many threads as torch has, for which Pillow
        lets go of the interpreter: a picture and its views at a time.

        Args:
            views: At least one.
        Raises:
            DataError: As `image`.
        """
        shown = self.show(views)
        blocks = [self._family.pixels(self._processor, shown[view.key]) for view in views]
        grids = torch.tensor([self.grid_thw(view) for view in views])
        return PixelBatch(torch.cat(blocks), grids)

    def show(self, views: Iterable[ImageView]) -> Mapping[str, UInt8[np.ndarray, "height width 3"]]:
        """The pixels of views by their keys; see `batch`."""
        named = {view.key: view for view in views}
        with _CACHES:  # a cache may hold less than one batch, and lose these to what is new
            found = {key: self.shown[key] for key in named if key in self.shown}
        new: dict[str, list[ImageView]] = {}
        for key, view in named.items():
            if key not in found:
                new.setdefault(view.source.key, []).append(view)
        num_threads = min(torch.get_num_threads(), len(new))
        if num_threads > 1:
            with ThreadPoolExecutor(num_threads) as pool:
                parts = list(pool.map(self._shown_of_one, new.values()))
        else:
            parts = [self._shown_of_one(some) for some in new.values()]
        for part in parts:
            found |= part
        return {key: found[key] for key in named}

    def _shown_of_one(
        self, views: Sequence[ImageView]
    ) -> dict[str, UInt8[np.ndarray, "height width 3"]]:
        """Views of one picture, which is decoded once though no cache may hold it."""
        original = self._decoded(views[0].source)
        return {view.key: self._shown(view, original) for view in views}

    @cachedmethod(
        attrgetter("shown"), key=lambda self, view, *_: view.key, lock=lambda self: _CACHES
    )
    def _shown(
        self, view: ImageView, original: Image.Image | None = None
    ) -> UInt8[np.ndarray, "height width 3"]:
        original = self._decoded(view.source) if original is None else original
        if original.size != (view.original.width, view.original.height):
            raise DataError(
                f"the picture is {original.width}x{original.height}, but the record was made from "
                f"one of {view.original.width}x{view.original.height}; make the records again",
                path=view.path,
            )
        # Not Pillow's `resize(box=...)`: it lets pixels from beyond the window bleed in.
        cut = original.crop(view.box.as_tuple()) if view.box else original
        size = (view.size.width, view.size.height)
        return np.asarray(cut.resize(size, resample=self._processor.resample))

    @cachedmethod(
        attrgetter("originals"), key=lambda self, source: source.key, lock=lambda self: _CACHES
    )
    def _decoded(self, source: Source) -> Image.Image:
        return open_source(source)
