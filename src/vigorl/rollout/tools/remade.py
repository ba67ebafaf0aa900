"""Pictures that a tool makes from what a view shows: kept as files, and shown at the same scale."""

from __future__ import annotations

import os

from PIL import Image

from vigorl.core.geometry import Size
from vigorl.core.media import ImageView
from vigorl.data.pictures import keep_picture, open_source


def shown_part(view: ImageView) -> Image.Image:
    """What a view shows, in the pixels of its file.

    Raises:
        DataError: The file cannot be read.
    """
    picture = open_source(view.source)
    return picture if view.box is None else picture.crop(view.box.as_tuple())


def remade_view(
    picture: Image.Image, *, like: ImageView, folder: str | os.PathLike[str]
) -> ImageView:
    """A view of a whole new picture, made from what `like` shows.

    Args:
        picture: In the pixels of the file, so that a zoom into it loses nothing.
        like: Gives the scale and the frame of texts.
        folder: Where the picture is kept.
    """
    scale = like.size.width / (like.region.right - like.region.left)
    size = Size(max(round(picture.width * scale), 1), max(round(picture.height * scale), 1))
    stored = keep_picture(picture, folder)
    return ImageView(stored, Size(*picture.size), size, frame=like.frame)
