"""Pictures of requests: from URIs to files that can be asked about."""

from __future__ import annotations

import base64
import binascii
import http.client
import re
import urllib.request
from pathlib import Path
from uuid import uuid4

from vigorl.asking.asker import check_picture
from vigorl.core.errors import DataError
from vigorl.serving.requests import RequestRefusedError

_DATA = re.compile(r"data:image/[\w.+-]+;base64,(.*)", re.DOTALL)
_TIMEOUT_S = 20


class PictureRefusedError(RequestRefusedError):
    """Of a picture that cannot be had or shown."""

    def __init__(self, message: str) -> None:
        super().__init__(message, param="messages", code="invalid_image_url")


def save_picture(
    uri: str, folder: Path, *, allow_urls: bool, max_pixels: int, max_bytes: int
) -> Path:
    """Write a picture of a request into a folder, checked.

    Args:
        uri: data:image/...;base64,... or, where allowed, http(s).
        folder: Of the request.
        allow_urls: Whether this machine fetches what a request names.
        max_pixels: Of the picture.
        max_bytes: Of one that is fetched.
    Raises:
        PictureRefusedError: It is neither, cannot be had, or is no picture of that size.
    """
    path = folder / uuid4().hex
    if uri.startswith("data:"):
        path.write_bytes(_decoded(uri))
    elif not uri.startswith(("http://", "https://")):
        raise PictureRefusedError(
            "image_url.url must be data:image/png;base64,... with the picture in it"
        )
    elif not allow_urls:
        raise PictureRefusedError(
            "this server fetches no pictures: send it as data:image/png;base64,... "
            "(serve with allow_urls=true to have addresses fetched)"
        )
    else:
        path.write_bytes(_fetched(uri, max_bytes=max_bytes))
    try:
        check_picture(path, max_pixels=max_pixels)
    except DataError as error:
        said = error.message.replace(str(path), path.name)  # no folders of this machine
        raise PictureRefusedError(f"the picture: {said}") from error
    return path


def _decoded(uri: str) -> bytes:
    match = _DATA.fullmatch(uri)
    if match is None:
        raise PictureRefusedError(f"image_url.url begins {uri[:24]!r}, not data:image/png;base64,")
    try:
        return base64.b64decode(match[1], validate=True)
    except binascii.Error as error:
        raise PictureRefusedError(f"image_url.url is no base64: {error}") from error


def _fetched(url: str, *, max_bytes: int) -> bytes:
    try:
        with urllib.request.urlopen(url, timeout=_TIMEOUT_S) as answer:
            content = answer.read(max_bytes + 1)
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise PictureRefusedError(f"{url[:200]} cannot be fetched: {error}") from error
    if len(content) > max_bytes:
        raise PictureRefusedError(f"{url[:200]} is larger than {max_bytes} bytes")
    return content
