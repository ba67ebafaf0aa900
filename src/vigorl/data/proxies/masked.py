"""A part of the picture is covered; which of four patches belongs there?

Of MPCC (arXiv:2510.21807) only the abstract was found: a part is hidden, and its content is to be
inferred from the rest. How it asks, what it pays and its "prior sampling" are not published where
we could read: this form is ours, and needs no labels.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from PIL import ImageDraw

from vigorl.core.errors import ConfigError
from vigorl.core.geometry import Box
from vigorl.data.proxies.proxy import Picture, Proxy, Question

GREY = (128, 128, 128)


@dataclass(frozen=True, slots=True, kw_only=True)
class Masked(Proxy):
    """Chance 1/4. A thing on the picture is covered where boxes are known, else any place; the
    wrong patches come from elsewhere on it, the farther from the covered one the better.

    Attributes:
        side_frac: Side of the patch where no box is known, as a share of the picture's shorter one.
    """

    side_frac: float = 0.25

    def __post_init__(self) -> None:
        if not 0 < self.side_frac <= 0.3:
            raise ConfigError(f"side_frac must be above 0 and up to 0.3, got {self.side_frac}")

    def ask(self, picture: Picture, others: Sequence[Picture], *, rng: random.Random) -> Question:
        whole = picture.image
        if picture.boxes:
            left, top, right, bottom = map(int, rng.choice(picture.boxes).as_tuple())
            width, height = right - left, bottom - top
        else:
            width = height = max(round(min(whole.size) * self.side_frac), 1)
            left = rng.randint(0, whole.width - width)
            top = rng.randint(0, whole.height - height)
        hidden = (left, top, left + width, top + height)
        boxes = [hidden, *_elsewhere(whole.size, hidden, rng)]
        order = rng.sample(range(4), 4)
        masked = whole.copy()
        ImageDraw.Draw(masked).rectangle((left, top, hidden[2] - 1, hidden[3] - 1), fill=GREY)
        return Question(
            "<image>\n" + "<image>\n" * 4 + "A part of the first picture is covered in grey. Which "
            "of the four patches belongs there?",
            str(order.index(0) + 1),
            (masked, *(whole.crop(boxes[i]) for i in order)),
            options=("1", "2", "3", "4"),
            targets=(Box(*hidden),),
        )


def _elsewhere(
    size: tuple[int, int], hidden: tuple[int, int, int, int], rng: random.Random
) -> list[tuple[int, int, int, int]]:
    """Three patches of the same size: the farthest of sixteen places, none the covered one."""
    left, top, right, bottom = hidden
    width, height = right - left, bottom - top
    if width * height * 4 > size[0] * size[1]:
        raise ValueError("the covered part is more than a quarter of the picture")
    places = [
        (rng.randint(0, size[0] - width), rng.randint(0, size[1] - height)) for _ in range(16)
    ]
    places.sort(key=lambda place: -max(abs(place[0] - left), abs(place[1] - top)))
    return [(x, y, x + width, y + height) for x, y in places[:3]]
