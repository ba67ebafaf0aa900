"""Templates into pages that stand alone, and the pictures that are embedded in them.

    album = Album(images)
    page = render("rollouts.html.jinja", title="train/3", groups=groups)

Structure is in `templates/*.html.jinja` and looks in `templates/*.css`; Python prepares small
frozen values for them. Every text is escaped by the templates' autoescape, so no value here or in
its callers is HTML. No page has a script or loads anything from elsewhere.
"""

from __future__ import annotations

import base64
import io
import re
from dataclasses import dataclass, field, replace
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from PIL import Image

from vigorl.core.geometry import fit_size
from vigorl.core.media import ImageView
from vigorl.data.images import ImageStore
from vigorl.pages.spots import RIGHT, TARGET, WRONG, ink_on
from vigorl.pages.text import words_of

CANVAS_PX = 448  # longer side of every drawn picture, in SVG units
SHOWN_PX = 288  # longest side of an embedded view of a turn
_THUMBNAIL_PX, _LARGE_PX = 160, 1024
_UNPRINTABLE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]"
)


@dataclass(frozen=True, slots=True)
class Picture:
    """A whole picture to draw on.

    Attributes:
        id: Of its element in the page.
        href: Its pixels; "" where the page has shown them before, under the same id.
        width, height: Of the canvas, in SVG units.
        scale: SVG units per ORIGINAL pixel.
    """

    id: str
    href: str
    width: int
    height: int
    scale: float


@dataclass(frozen=True, slots=True)
class Vote:
    """An answer and how often it was given; None is none."""

    answer: str | None
    is_right: bool
    count: int
    share: float


@dataclass(slots=True)
class Album:
    """The pictures of one page; a whole picture is embedded once and referred to afterwards.

    Whoever asks first must stand first on the page.

    Attributes:
        images: Where pictures come from.
    """

    images: ImageStore
    _ids: dict[str, str] = field(default_factory=dict)

    def whole(self, view: ImageView) -> Picture:
        """The whole picture that a view belongs to.

        Raises:
            DataError: It cannot be read.
        """
        canvas, key, href = fit_size(view.original, CANVAS_PX, may_grow=True), view.source.key, ""
        if key not in self._ids:
            self._ids[key] = f"picture-{len(self._ids)}"
            href = self._data(view, CANVAS_PX)
        scale = canvas.width / view.original.width
        return Picture(self._ids[key], href, canvas.width, canvas.height, scale)

    def thumbnail(self, view: ImageView) -> str:
        """The whole picture that a view belongs to, small, as a data URI."""
        return self._data(view, _THUMBNAIL_PX)

    def large(self, view: ImageView) -> str:
        """The whole picture that a view belongs to, large enough to read, as a data URI."""
        return self._data(view, _LARGE_PX)

    def shown(self, view: ImageView) -> str:
        """A view as the model saw it, or smaller, as a data URI."""
        return data_uri(self.images.image(replace(view, size=fit_size(view.size, SHOWN_PX))))

    def _data(self, view: ImageView, max_side_px: int) -> str:
        size = fit_size(view.original, max_side_px)
        return data_uri(self.images.image(replace(view, box=None, size=size)))


def data_uri(image: Image.Image) -> str:
    """A picture to embed: exact when it is tiny, JPEG otherwise."""
    buffer = io.BytesIO()
    is_tiny = image.width * image.height <= 128 * 128
    kind, settings = ("png", {}) if is_tiny else ("jpeg", {"quality": 80})
    image.save(buffer, kind, optimize=True, **settings)
    return f"data:image/{kind};base64,{base64.b64encode(buffer.getvalue()).decode()}"


def render(template: str, **values: Any) -> str:
    """A page as one string.

    Control and direction marks and lone surrogates, wherever they come from, become U+FFFD.

    Raises:
        jinja2.UndefinedError: The template names a value that is not there.
    """
    page = _TEMPLATES.get_template(template).render(values)
    return _UNPRINTABLE.sub("�", page)


def count_of(number: int, noun: str) -> str:
    """Such as "1 turn" or "2 turns"."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def short(text: str, limit: int) -> str:
    """The text, cut with an ellipsis where it has more characters than `limit`."""
    return text if len(text) <= limit else text[:limit].rstrip() + " …"


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"


def _templates() -> Environment:
    environment = Environment(
        loader=PackageLoader("vigorl.pages"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "count_of": count_of,
        "percent": _percent,
        "short": short,
        "words_of": words_of,
        "ink_on": ink_on,
    }
    environment.globals |= {"RIGHT": RIGHT, "WRONG": WRONG, "TARGET": TARGET}
    return environment


_TEMPLATES = _templates()
