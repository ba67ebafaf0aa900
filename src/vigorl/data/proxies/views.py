"""Two views of one thing: how did the camera move between them?

Views are cut from one picture: the second window is moved, or both stand in the middle and what is
seen in the second is turned. A camera that moves right, or turns clockwise, sees things move left,
or turn counter-clockwise.
Source: Actial, arXiv:2511.01618 (Viewpoint-100K: pairs of MVImgNet views 20 to 100 degrees apart;
where the camera moved, where the object, which way the camera turned). Its views differ by the
place of the camera around an object; these by a shift or a roll, of which the truth is known
without depth. Rows of its own are read as any table is, with two columns of pictures.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image

from vigorl.core.errors import ConfigError
from vigorl.data.proxies.proxy import Picture, Proxy, Question

MOVES = {"left": (-1, 0), "right": (1, 0), "up": (0, -1), "down": (0, 1)}
OPPOSITE = {"left": "right", "right": "left", "up": "down", "down": "up"}
TURNS = {"clockwise": 1, "counter-clockwise": -1}
WINDOW = 0.7  # of the sides: a square of it stays within one that is turned by up to 30 degrees
MIN_WINDOW_PX = 56
_PAIR = "<image>\n<image>\nThese are two views of one place, the first and then the second. "


@dataclass(frozen=True, slots=True, kw_only=True)
class Views(Proxy):
    """Where the camera moved, where what is seen moved, or which way the camera turned, a third
    each; chance 1/4, 1/4 and 1/2.

    Attributes:
        shift_frac: Least and most shift, as a share of the picture's side.
        turn_deg: Least and most turn, degrees.
    """

    shift_frac: tuple[float, float] = (0.1, 0.3)
    turn_deg: tuple[float, float] = (10.0, 30.0)

    def __post_init__(self) -> None:
        for name, most in (("shift_frac", 1 - WINDOW), ("turn_deg", 30.0)):
            low, high = getattr(self, name)
            object.__setattr__(self, name, (low, high))
            if not 0 < low <= high <= most + 1e-9:
                raise ConfigError(
                    f"{name} must be two numbers, 0 < low <= high <= {most:g}; got {low, high}"
                )

    def ask(self, picture: Picture, others: Sequence[Picture], *, rng: random.Random) -> Question:
        if WINDOW * min(picture.image.size) < MIN_WINDOW_PX:
            width, height = picture.image.size
            raise ValueError(f"a view of {width}x{height} is under {MIN_WINDOW_PX} px")
        if rng.randrange(3) == 0:
            return self._turned(picture.image, rng)
        return self._moved(picture.image, rng)

    def _moved(self, image: Image.Image, rng: random.Random) -> Question:
        is_camera = rng.random() < 0.5
        camera = rng.choice(tuple(MOVES))
        width, height = (round(WINDOW * side) for side in image.size)
        step = [round(rng.uniform(*self.shift_frac) * side) for side in image.size]
        dx, dy = (way * px for way, px in zip(MOVES[camera], step, strict=True))
        left = rng.randint(max(0, -dx), image.width - width - max(0, dx))
        top = rng.randint(max(0, -dy), image.height - height - max(0, dy))
        corners = ((left, top), (left + dx, top + dy))
        views = tuple(image.crop((x, y, x + width, y + height)) for x, y in corners)
        asked = "Where did the camera move?" if is_camera else "Where did what is seen move?"
        answer = camera if is_camera else OPPOSITE[camera]
        tags = {"kind": "camera" if is_camera else "object"}
        return Question(_PAIR + asked, answer, views, options=tuple(MOVES), tags=tags)

    def _turned(self, image: Image.Image, rng: random.Random) -> Question:
        camera = rng.choice(tuple(TURNS))
        degrees = TURNS[camera] * rng.uniform(*self.turn_deg)
        turned = image.rotate(degrees, Image.Resampling.BICUBIC)  # counter-clockwise where positive
        side = round(WINDOW * min(image.size))
        left, top = (image.width - side) // 2, (image.height - side) // 2
        views = tuple(one.crop((left, top, left + side, top + side)) for one in (image, turned))
        asked = "Which way did the camera turn?"
        return Question(_PAIR + asked, camera, views, options=tuple(TURNS), tags={"kind": "turn"})
