"""What a policy is shown of a page: its screenshot with a numbered box on every element that can be
used (set-of-marks), and the elements' texts.

A number belongs to one observation. Unlike the benchmark's own marks, elements that nobody can see
or click (hidden, covered by others, smaller than 8 px) get none.
Source of the form (2 px boxes, cycled colours, number above the upper left corner, elements over
80 % of the view left out, texts cut at 200 characters): web-arena-x/visualwebarena@89f5af2,
browser_env/processors.py.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw, ImageFont

from vigorl.core.files import written_whole
from vigorl.core.geometry import Box, Point

MAX_TEXT = 200  # characters of one element
_LINE_PX, _FONT_PX, _PAD_PX = 2, 16, 2
_COLOURS = (
    "#1f77b4", "#ff7f0e", "#2ca02c", "#d62728", "#9467bd",
    "#8c564b", "#e377c2", "#7f7f7f", "#bcbd22", "#17becf",
)  # fmt: skip
# [{tag, text, box: [left, top, right, bottom], at: [x, y] or null}] in CSS pixels of the view
SCRIPT = """
() => {
  const USABLE = 'a[href], button, input:not([type=hidden]), textarea, select, summary, ' +
    '[tabindex]:not([tabindex="-1"]), [contenteditable=""], [contenteditable=true], [onclick], ' +
    '[draggable=true], [role=button], [role=link], [role=checkbox], [role=radio], ' +
    '[role=switch], [role=option], [role=menuitem], [role=tab], [role=combobox]';
  const TEXTS = 'p, span, li, td, th, dt, dd, label, h1, h2, h3, h4, h5, h6, ' +
    'article, strong, div:not(:has(*))';
  const width = document.documentElement.clientWidth || innerWidth;
  const height = innerHeight;
  const clipped = (rect) => {
    const box = [Math.max(rect.left, 0), Math.max(rect.top, 0),
                 Math.min(rect.right, width), Math.min(rect.bottom, height)];
    return box[2] - box[0] >= 8 && box[3] - box[1] >= 8 ? box : null;
  };
  const boxOf = (element) => {
    let best = null;
    for (const rect of element.getClientRects()) {
      const box = clipped(rect);
      const area = (b) => (b[2] - b[0]) * (b[3] - b[1]);
      if (box && (!best || area(box) > area(best))) best = box;
    }
    if (best || element.children.length === 0) return best;
    const inner = element.querySelector('img, svg');  // a link around a picture has no area
    return inner ? clipped(inner.getBoundingClientRect()) : null;
  };
  const placeOn = (element, box) => {  // where a click would reach it
    for (const share of [.5, .2, .8]) {
      const at = [box[0] + share * (box[2] - box[0]), (box[1] + box[3]) / 2];
      const hit = document.elementFromPoint(...at);
      if (hit && (element.contains(hit) || hit.contains(element) ||
          [...(element.labels || [])].some((label) => label.contains(hit)))) return at;
    }
    return null;
  };
  const textOf = (element) => {
    const pictures = element.tagName === 'IMG' ? [element] : [...element.querySelectorAll('img')];
    const alts = pictures.map((picture) => picture.getAttribute('alt') || '');
    const words = element.tagName === 'IMG' ? '' : element.textContent || '';
    return [...alts, words].join(' ').replace(/\\s+/g, ' ').trim();
  };
  const found = [];
  for (const element of document.querySelectorAll(USABLE + ', ' + TEXTS)) {
    const usable = element.matches(USABLE);
    const parent = element.parentElement && element.parentElement.closest(USABLE);
    if (!usable && parent) continue;
    if (usable && parent && parent.matches('a[href], button, summary')) continue;  // one thing
    if (!element.checkVisibility({opacityProperty: true, visibilityProperty: true})) continue;
    if (usable && element.disabled) continue;
    const box = boxOf(element);
    if (!box || (box[2] - box[0]) * (box[3] - box[1]) > 0.8 * width * height) continue;
    const at = usable ? placeOn(element, box) : null;
    if (usable && !at) continue;
    found.push({tag: element.tagName.toUpperCase(), text: textOf(element).slice(0, 1000),
                box: box, at: at});
  }
  return found;
}
"""


@dataclass(frozen=True, slots=True)
class Element:
    """A thing on a page.

    Attributes:
        tag: Such as "A" or "INPUT"; "StaticText" where it can only be read.
        text: Its words and its pictures' alternative texts; "" for an empty field.
        box: The part of it in view, in pixels of the screenshot.
        number: By which an action names it, from 1; None where it can only be read.
        at: Where a click reaches it; None where it can only be read.
    """

    tag: str
    text: str
    box: Box
    number: int | None = None
    at: Point | None = None

    @property
    def told(self) -> str:
        """Such as "[A] [Cart]"."""
        return f"[{self.tag}] [{self.text}]"


def read_elements(found: Iterable[dict[str, Any]]) -> tuple[Element, ...]:
    """What `SCRIPT` has returned, in order of the document; no text is told twice."""
    found = [one | {"text": one["text"][:MAX_TEXT].strip()} for one in found]
    told = {one["text"] for one in found if one["at"]} | {""}
    elements: list[Element] = []
    number = 0
    for one in found:
        text, box = one["text"], Box(*one["box"])
        if one["at"]:
            number += 1
            elements.append(Element(one["tag"], text, box, number, Point(*one["at"])))
        elif text not in told:
            elements.append(Element("StaticText", text, box))
            told.add(text)
    return tuple(elements)


def listed(elements: Sequence[Element]) -> str:
    """A line per element: "[3] [A] [Cart]", or "[] [StaticText] [Sold out]"."""
    return "\n".join(f"[{'' if one.number is None else one.number}] {one.told}" for one in elements)


def draw_marks(screenshot: bytes, elements: Iterable[Element]) -> bytes:
    """A PNG file with the boxes and numbers on it."""
    picture = Image.open(io.BytesIO(screenshot)).convert("RGB")
    draw, font = ImageDraw.Draw(picture), ImageFont.load_default(_FONT_PX)
    taken: list[tuple[float, float, float, float]] = []
    marked = [one for one in elements if one.number is not None]
    for one in marked:
        draw.rectangle(one.box.as_tuple(), outline=_colour(one), width=_LINE_PX)
    for one in marked:  # over all boxes, so that every number can be read
        label = str(one.number)
        size = (draw.textlength(label, font=font) + 2 * _PAD_PX, _FONT_PX + 2 * _PAD_PX)
        place = _free_place(one.box, size, picture.size, taken)
        taken.append(place)
        draw.rectangle(place, fill=_colour(one))
        draw.text((place[0] + _PAD_PX, place[1]), label, font=font, fill="white")
    file = io.BytesIO()
    picture.save(file, "png", compress_level=1)  # the most time of a step otherwise
    return file.getvalue()


def kept(picture: bytes, folder: Path) -> Path:
    """A picture file that is named by its content."""
    path = folder / f"{hashlib.sha256(picture).hexdigest()[:32]}.png"
    if not path.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        with written_whole(path) as part:
            part.write_bytes(picture)
    return path


def _colour(element: Element) -> str:
    return _COLOURS[((element.number or 1) - 1) % len(_COLOURS)]


def _free_place(
    box: Box,
    size: tuple[float, float],
    page: tuple[int, int],
    taken: Sequence[tuple[float, float, float, float]],
) -> tuple[float, float, float, float]:
    """Where a number goes: the first place by a corner that is on the page and covers no other."""
    left, top, right, bottom = box.as_tuple()
    width, height = size
    above, below, back = top - height, bottom, right - width
    corners = [
        (left - width, above), (left, above), (right, above), (back, above),
        (left - width, below), (left, below), (back, below),
        (left - width, top), (right, top),
    ]  # fmt: skip
    places = [(x, y, x + width, y + height) for x, y in corners]
    on_page = [p for p in places if p[0] >= 0 and p[1] >= 0 and p[2] <= page[0] and p[3] <= page[1]]
    free = (p for p in on_page if not any(_overlap(p, other) for other in taken))
    inside = (left, top, left + width, top + height)
    return next(free, next(iter(on_page), inside))


def _overlap(a: tuple[float, float, float, float], b: tuple[float, float, float, float]) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]
