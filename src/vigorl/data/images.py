"""From picture files to the pixels that the model sees.

An `ImageView` says what is shown; `ImageStore` turns it into patches. Every crop is cut from the
ORIGINAL file, resized once, and then handed to the Hugging Face image processor with its own
resizing off, so that whole pictures come out bit for bit as the processor alone would make them (a
test holds this) and crops go the same way.

Left out on purpose: video, and the torchvision backend (its antialiasing differs from Pillow's in
the last bits; training, evaluation and every engine must see the same pixels).
"""

from __future__ import annotations

import os
import struct
import sys
import zlib
from collections.abc import Iterable
from dataclasses import dataclass, replace
from operator import attrgetter
from typing import Any

import numpy as np
from cachetools import LRUCache, cachedmethod
from jaxtyping import Float
from PIL import ExifTags, Image, ImageDraw, ImageFile
from torch import Tensor
from transformers import AutoImageProcessor

from vigorl.core.errors import ConfigError, DataError
from vigorl.core.geometry import Box, Size
from vigorl.core.media import (
    Dot,
    Edited,
    FileImage,
    Fill,
    GaussianNoise,
    ImageView,
    Mark,
    Noise,
    Patches,
    Source,
    VideoFrame,
)
from vigorl.families.family import Family
from vigorl.families.loading import reading
from vigorl.families.lookup import family_of

# ReasonMap's largest map has 14,032 x 19,843 = 278 million pixels. Pillow keeps RGB in four bytes,
# so a decoded picture takes up to 1.2 GB; one that has to be converted or turned, twice that.
MAX_PICTURE_PIXELS = 300_000_000
Image.MAX_IMAGE_PIXELS = MAX_PICTURE_PIXELS  # its own limit, which it refuses at twice of

# What Pillow may try: of its other formats one hands the file to Ghostscript, whatever its name.
FORMATS = (
    "JPEG", "PNG", "WEBP", "AVIF", "GIF", "BMP", "TIFF", "PPM", "JPEG2000",
)  # fmt: skip
_BITS = (8, 10, 12, 14, 16, 32)  # of cameras and scanners, in files of 16 or 32
# Pillow keeps one byte of a channel's two: with the order of the bytes turned, it is the lower.
_LOWER_BYTE = {"L": "B", "B": "L", "N": "B" if sys.byteorder == "little" else "L"}

_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_SWAPS_SIDES = (5, 6, 7, 8)
_BROKEN = (
    OSError, SyntaxError, ValueError, EOFError, LookupError, TypeError, OverflowError, MemoryError,
    struct.error, zlib.error,
)  # fmt: skip  # what Pillow's decoders raise on damaged files


def open_image(path: str | os.PathLike[str], *, source: str | None = None) -> Image.Image:
    """Decode a picture as RGB, turned as its EXIF orientation says, transparency on white.

    Grey and colours of more than 8 bits lose their lowest: files hold 12 bits in 16, and do not say
    so, thus the fewest bits of `_BITS` that hold the brightest pixel are taken to be their range.

    Args:
        path: The file.
        source: "file:line" of the record that names the picture, for the error message.
    Raises:
        DataError: Missing, empty, not a picture, truncated, too large, or without a fixed range of
            values (float pixels, grey below 0).
    """
    image, orientation = _open_header(path, source=source)
    with image:
        try:
            rgb = _to_rgb(_decoded(image))
        except _BROKEN as error:
            what = f"the picture is damaged ({error}): get it again; data.decode_pictures=true"
            raise _picture_error(path, source, f"{what} finds all such before a run") from error
    return rgb.transpose(_TURNS[orientation]) if orientation in _TURNS else rgb


def read_size(path: str | os.PathLike[str], *, source: str | None = None) -> Size:
    """The size `open_image` will give, from the file's header alone.

    Raises:
        DataError: Missing, empty, not a picture, or too large.
    """
    image, orientation = _open_header(path, source=source)
    with image:
        width, height = image.size
    return Size(height, width) if orientation in _SWAPS_SIDES else Size(width, height)


def _open_header(
    path: str | os.PathLike[str], *, source: str | None
) -> tuple[ImageFile.ImageFile, int]:
    if not os.path.isfile(path):
        raise _picture_error(path, source, "there is no such picture file")
    if os.path.getsize(path) == 0:
        raise _picture_error(path, source, "the picture file is empty (0 bytes)")
    try:
        image = Image.open(path, formats=FORMATS)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise _picture_error(path, source, f"the picture is too large ({error})") from error
    except _BROKEN as error:
        raise _picture_error(path, source, f"this is not a picture ({error})") from error
    if image.width * image.height > MAX_PICTURE_PIXELS:
        image.close()
        raise _picture_error(
            path,
            source,
            f"{image.width}x{image.height} is more than the {MAX_PICTURE_PIXELS} pixels allowed",
        )
    return image, _orientation(image)


def _orientation(image: Image.Image) -> int:
    # Pillow turns TIFF by itself, and decodes a whole PNG to look for EXIF behind the pixels: only
    # what stands before them counts, so that header and decoded size always agree.
    if image.format == "TIFF" or (image.format == "PNG" and "exif" not in image.info):
        return 1
    try:
        return image.getexif().get(ExifTags.Base.Orientation, 1)
    except _BROKEN:  # whoever shows such a picture shows it as it lies
        return 1


def _decoded(image: ImageFile.ImageFile) -> Image.Image:
    """With 8 bits per channel of those that hold its colours, and likewise of its opacity."""
    if image.format == "PPM" and image.tile and image.tile[0].args == ("RGB", 65535):
        image.tile = [image.tile[0]._replace(codec_name="raw", args=("RGB;16B", 0, 1))]
    tiles = list(image.tile)
    image.load()
    is_of_two_bytes = any(";16" in _raw_mode(tile) for tile in tiles)
    if image.mode.startswith("I") or not is_of_two_bytes:
        return image
    upper = np.asarray(image)
    num_colours = upper.shape[-1] - image.mode.upper().endswith("A")
    if upper[..., :num_colours].max() >= 1 << 6:  # more than 14 bits: the upper 8 are in `image`
        return image
    assert image.filename is not None  # it was opened by its path
    with Image.open(image.filename, formats=FORMATS) as again:
        again.tile = [_of_lower_bytes(tile) for tile in tiles]
        lower = np.asarray(again)
    if _raw_mode(tiles[0]).startswith("LA"):  # its four bytes, as they lie
        lower = lower[..., [1, 1, 1, 3]]
    deep = upper.astype(np.uint16) << 8 | lower
    for band in (deep[..., :num_colours], deep[..., num_colours:]):
        band >>= next(bits for bits in _BITS if band.max(initial=0) < 1 << bits) - 8
    return Image.fromarray(deep.astype(np.uint8), image.mode)


def _raw_mode(tile: Any) -> str:
    return str(tile.args if isinstance(tile.args, str) else tile.args[0])


def _of_lower_bytes(tile: Any) -> Any:
    mode, rest = _raw_mode(tile), () if isinstance(tile.args, str) else tile.args[1:]
    lower = "RGBA" if mode.startswith("LA") else mode[:-1] + _LOWER_BYTE[mode[-1]]
    return tile._replace(args=(lower, *rest))


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode == "F":
        raise ValueError("float pixels have no fixed range; save the picture with 8 bits")
    if image.mode.startswith("I"):  # 16 or 32 bits; Pillow would clip them at 255
        grey = np.asarray(image, dtype=np.int64)
        if grey.min() < 0:
            raise ValueError("grey below 0 has no fixed range; save the picture with 8 bits")
        bits = next(bits for bits in _BITS if grey.max() < 1 << bits)
        return Image.fromarray((grey >> (bits - 8)).astype(np.uint8)).convert("RGB")
    if "transparency" in image.info or image.mode in ("RGBA", "LA", "PA", "La", "RGBa"):
        # "La" and "RGBa" only convert to their unmultiplied forms
        straight = {"La": "LA", "RGBa": "RGBA"}.get(image.mode, image.mode)
        layered = image.convert(straight).convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", layered.size, "white"), layered).convert(
            "RGB"
        )
    return image if image.mode == "RGB" else image.convert("RGB")  # which would copy


def _picture_error(path: object, source: str | None, message: str) -> DataError:
    return DataError(f"{message}; named by {source}" if source else message, path=path)


@dataclass(frozen=True, slots=True)
class PixelBlock:
    """One picture as the vision tower takes it. Shared by a cache: never change it in place.

    Attributes:
        pixel_values: Normalised patches, merge-window order.
        grid_thw: Frames (1), patch rows, patch columns.
    """

    pixel_values: Float[Tensor, "patches dim"]
    grid_thw: tuple[int, int, int]


def open_source(source: Source) -> Image.Image:
    """The picture of a source, RGB, at its own size.

    Raises:
        DataError: As `open_image`; or a video cannot be read.
    """
    if isinstance(source, Edited):
        return marked(open_source(source.source), source.marks)
    if isinstance(source, VideoFrame):
        return _video_frame(source)
    return open_image(source.path)


def marked(picture: Image.Image, marks: Iterable[Mark]) -> Image.Image:
    """A copy with marks drawn on it, which are in the picture's own pixels."""
    copy = picture.copy()
    for mark in marks:
        _draw(copy, mark)
    return copy


def _draw(picture: Image.Image, mark: Mark) -> None:
    pen = ImageDraw.Draw(picture)
    if isinstance(mark, Fill | Noise | Patches):
        whole = Box(0, 0, *picture.size)
        left, top, right, bottom = map(round, (mark.box or whole).as_tuple())
        if isinstance(mark, Fill):
            pen.rectangle((left, top, right - 1, bottom - 1), fill=mark.rgb)
        elif isinstance(mark, Patches):
            rows = (np.arange(bottom - top) / mark.height_px).astype(int)
            columns = (np.arange(right - left) / mark.width_px).astype(int)
            draw = np.random.default_rng(mark.seed).random((rows[-1] + 1, columns[-1] + 1))
            is_painted = (draw < mark.share)[rows][:, columns]
            picture.paste(0, (left, top), Image.fromarray(is_painted.astype(np.uint8) * 255))
        else:
            pixels = np.random.default_rng(mark.seed).integers(
                0, 256, (bottom - top, right - left, 3), dtype=np.uint8
            )
            picture.paste(Image.fromarray(pixels), (left, top))
    elif isinstance(mark, GaussianNoise):
        pixels = np.asarray(picture, dtype=np.float32) / 255
        noise = np.random.default_rng(mark.seed).standard_normal(pixels.shape, dtype=np.float32)
        noisy = np.clip(mark.keep * pixels + mark.sigma * noise, 0, 1)
        picture.paste(Image.fromarray((noisy * 255).round().astype(np.uint8)))
    elif isinstance(mark, Dot):
        pen.circle((mark.point.x, mark.point.y), mark.radius_px, fill=mark.rgb)
    else:
        pen.rectangle(mark.box.as_tuple(), outline=mark.rgb, width=mark.width_px)


def _video_frame(source: VideoFrame) -> Image.Image:
    """The last frame whose time is not after the asked one."""
    try:
        import av  # pyright: ignore[reportMissingImports]  an extra: most runs see no video
        from av.error import FFmpegError  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise DataError("to read videos, pip install av", path=source.path) from error
    found = None
    try:
        with av.open(source.path) as video:
            stream = video.streams.video[0]
            if stream.time_base is not None:
                video.seek(int(source.time_s / stream.time_base), stream=stream)
            for frame in video.decode(stream):
                if found is not None and frame.time is not None and frame.time > source.time_s:
                    break
                found = frame
    except (OSError, IndexError, FFmpegError) as error:
        raise DataError(f"the video cannot be read: {error}", path=source.path) from error
    if found is None:
        raise DataError("the video has no frame", path=source.path)
    return found.to_image().convert("RGB")


class ImageStore:
    """Sizes, tokens, pixels and pictures of views, with decoded originals and pixel blocks cached.

    Args:
        processor: The family's Hugging Face image processor, Pillow backend.
        family: Says at which sizes pictures are shown, and how texts write coordinates in them.
        cache_bytes: For decoded originals and pixel blocks together; half each. A worker process
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
        self._processor, self.sizing, self.frame = processor, family.sizing(processor), family.frame
        self._sizes: dict[str, Size] = {}
        self.originals: LRUCache[str, Image.Image] = LRUCache(
            cache_bytes // 2,
            getsizeof=lambda made: made.width * made.height * 4,  # Pillow keeps RGB in four bytes
        )
        self.blocks: LRUCache[str, PixelBlock] = LRUCache(
            cache_bytes // 2, getsizeof=lambda block: block.pixel_values.nbytes
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
        limits = {"min_pixels": min_pixels, "max_pixels": max_pixels}
        given = {name: value for name, value in limits.items() if value is not None}
        with reading(folder):
            processor = AutoImageProcessor.from_pretrained(
                str(folder), backend="pil", trust_remote_code=False, **given
            )
        return cls(processor, family=family_of(folder), cache_bytes=cache_bytes)

    def whole(self, path: str | os.PathLike[str], *, source: str = "") -> ImageView:
        """The whole picture at the size at which the processor shows it; reads the file's header
        only.

        Raises:
            DataError: The file is missing or not a picture, or it is more than 200 times as long as
                wide.
        """
        name = os.fspath(path)
        if name not in self._sizes:
            self._sizes[name] = read_size(name, source=source or None)
        original = self._sizes[name]
        try:
            size = self.sizing.fit(original)
        except ValueError as error:
            raise _picture_error(path, source or None, str(error)) from error
        return ImageView(FileImage(name), original, size, frame=self.frame)

    def fit(self, view: ImageView) -> ImageView:
        """The view at the nearest size that no engine would change again: sides are whole tokens,
        and the area is within the pixel limits.
        """
        return replace(view, size=self.sizing.fit_view(view.size))

    def num_tokens(self, view: ImageView) -> int:
        """How many placeholders the view takes in the expanded ids."""
        return self.sizing.num_tokens(view.size)

    def grid_thw(self, view: ImageView) -> tuple[int, int, int]:
        """Frames, patch rows and patch columns of the view, without reading the file."""
        return self.sizing.grid_thw(view.size)

    def image(self, view: ImageView) -> Image.Image:
        """The view as an RGB picture of `view.size`; the processor would not resize it again.

        Raises:
            DataError: The file cannot be decoded, or is not the picture that the view was made
                from.
        """
        original = self._original(view)
        # Not Pillow's `resize(box=...)`: it lets pixels from beyond the window bleed in.
        shown = original.crop(view.box.as_tuple()) if view.box else original
        return shown.resize((view.size.width, view.size.height), resample=self._processor.resample)

    @cachedmethod(attrgetter("blocks"), key=lambda self, view: view.key)
    def pixels(self, view: ImageView) -> PixelBlock:
        """The view's patches.

        Raises:
            DataError: As `image`.
        """
        made = self._processor(images=[self.image(view)], do_resize=False, return_tensors="pt")
        frames, rows, columns = made["image_grid_thw"][0].tolist()
        return PixelBlock(made["pixel_values"], (frames, rows, columns))

    @cachedmethod(attrgetter("originals"), key=lambda self, source: source.key)
    def _decoded(self, source: Source) -> Image.Image:
        return open_source(source)

    def _original(self, view: ImageView) -> Image.Image:
        image = self._decoded(view.source)
        if image.size != (view.original.width, view.original.height):
            raise DataError(
                f"the picture is {image.width}x{image.height}, but the record was made from one of "
                f"{view.original.width}x{view.original.height}; make the records again",
                path=view.path,
            )
        return image
