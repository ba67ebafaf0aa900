"""Picture files, decoded, with what is drawn on them. Without torch, so that whoever only shows
pictures starts at once. A frame of a video is named as one: "clip.mp4#t=12.5".
"""

from __future__ import annotations

import hashlib
import os
import struct
import sys
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import ExifTags, Image, ImageDraw, ImageFile, ImageFont

from vigorl.core.errors import DataError
from vigorl.core.files import written_whole
from vigorl.core.geometry import Box, Size
from vigorl.core.media import (
    Dot,
    Edited,
    Fill,
    GaussianNoise,
    Label,
    Line,
    Mark,
    Noise,
    Patches,
    Source,
    Stored,
    Tint,
    VideoFrame,
    is_video,
    source_of,
)
from vigorl.data.video import read_frame, read_header

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
        path: The file, or a frame of a video (`core.media.source_of`).
        source: "file:line" of the record that names the picture, for the error message.
    Raises:
        DataError: Missing, empty, not a picture, truncated, too large, or without a fixed range of
            values (float pixels, grey below 0).
    """
    if isinstance(named := source_of(path), VideoFrame):
        return read_frame(named.path, named.time_s)
    image, orientation = _open_header(path, source=source)
    with image:
        try:
            rgb = _to_rgb(_decoded(image))
        except _BROKEN as error:
            what = f"the picture is damaged ({error}): get it again; data.decode_pictures=true"
            raise picture_error(path, source, f"{what} finds all such before a run") from error
    return rgb.transpose(_TURNS[orientation]) if orientation in _TURNS else rgb


def read_size(path: str | os.PathLike[str], *, source: str | None = None) -> Size:
    """The size `open_image` will give, from the file's header alone; of a video, its frames'.

    Raises:
        DataError: Missing, empty, not a picture, or too large.
    """
    named = source_of(path)
    if isinstance(named, VideoFrame) or is_video(path):
        return read_header(named.path, source=source).size
    image, orientation = _open_header(path, source=source)
    with image:
        width, height = image.size
    return Size(height, width) if orientation in _SWAPS_SIDES else Size(width, height)


def _open_header(
    path: str | os.PathLike[str], *, source: str | None
) -> tuple[ImageFile.ImageFile, int]:
    if not os.path.isfile(path):
        raise picture_error(path, source, "there is no such picture file")
    if os.path.getsize(path) == 0:
        raise picture_error(path, source, "the picture file is empty (0 bytes)")
    try:
        image = Image.open(path, formats=FORMATS)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise picture_error(path, source, f"the picture is too large ({error})") from error
    except _BROKEN as error:
        raise picture_error(path, source, f"this is not a picture ({error})") from error
    if image.width * image.height > MAX_PICTURE_PIXELS:
        image.close()
        raise picture_error(
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


def picture_error(path: object, source: str | None, message: str) -> DataError:
    """Of a picture file, with the record that names it where that is known."""
    return DataError(f"{message}; named by {source}" if source else message, path=path)


def open_source(source: Source) -> Image.Image:
    """The picture of a source, RGB, at its own size.

    Raises:
        DataError: As `open_image`; or a video cannot be read.
    """
    if isinstance(source, Edited):
        return marked(open_source(source.source), source.marks)
    if isinstance(source, VideoFrame):
        return read_frame(source.path, source.time_s)
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
    elif isinstance(mark, Tint):
        left, top, right, bottom = map(round, mark.box.as_tuple())
        part = picture.crop((left, top, right, bottom))
        colour = Image.new("RGB", part.size, mark.rgb)
        picture.paste(Image.blend(part, colour, mark.strength), (left, top))
    elif isinstance(mark, Line):
        path = [(point.x, point.y) for point in mark.points]
        pen.line(path, fill=mark.rgb, width=mark.width_px, joint="curve")
    elif isinstance(mark, Label):
        font = ImageFont.load_default(mark.height_px)
        pen.text((mark.point.x, mark.point.y), mark.text, fill=mark.rgb, font=font)
    else:
        pen.rectangle(mark.box.as_tuple(), outline=mark.rgb, width=mark.width_px)


def keep_picture(picture: Image.Image, folder: str | os.PathLike[str]) -> Stored:
    """A picture that a tool has made, in a PNG file that is named by its pixels.

    Args:
        picture: RGB.
        folder: Made where it is missing; equal pictures share a file.
    """
    size = f"{picture.width}x{picture.height}".encode()
    digest = hashlib.sha256(size + picture.tobytes()).hexdigest()[:32]
    path = Path(folder) / f"{digest}.png"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        with written_whole(path) as partial:
            picture.save(partial)
    return Stored(digest, str(path))
