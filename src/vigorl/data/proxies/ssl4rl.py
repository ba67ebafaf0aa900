"""SSL4RL's four tasks: where a crop comes from, how a picture is turned, in what order its quarters
belong, and whether two pictures are one.

The paper's own wording of the prompts is not copied. Left out: its augmentation of crops, which the
released code has and leaves off, and training on the test's pictures, as its script does.
Source: SSL4RL, arXiv:2510.16416; PKU-ML/SSL4RL@57c830a, build_benchmarks/make*.py,
verl/utils/reward_score/ssl4rl.py and jigsaw.py (1/n for each right place).
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image, ImageEnhance

from vigorl.core.errors import ConfigError
from vigorl.core.geometry import Box
from vigorl.core.scoring import ItemsMatch, Scorer, YesNo
from vigorl.data.proxies.proxy import Picture, Proxy, Question

QUARTERS = ("top left", "top right", "bottom left", "bottom right")
TURNS = {
    0: None,
    90: Image.Transpose.ROTATE_90,  # counter-clockwise
    180: Image.Transpose.ROTATE_180,
    270: Image.Transpose.ROTATE_270,
}
MIN_CROP_PX = 28  # SSL4RL's


@dataclass(frozen=True, slots=True, kw_only=True)
class Position(Proxy):
    """In which quarter of the picture a crop lies; chance 1/4.

    Attributes:
        crop_frac: Least and most side of the crop, as a share of the quarter's; the paper's 20 % to
            80 %, and never under 28 px.
    """

    crop_frac: tuple[float, float] = (0.2, 0.8)

    def __post_init__(self) -> None:
        object.__setattr__(self, "crop_frac", tuple(self.crop_frac))
        low, high = self.crop_frac
        if not 0 < low <= high <= 1:
            raise ConfigError(
                f"crop_frac must be two shares, 0 < low <= high <= 1; got {low, high}"
            )

    def ask(self, picture: Picture, others: Sequence[Picture], *, rng: random.Random) -> Question:
        whole, place = picture.image, rng.randrange(4)
        half = whole.width // 2, whole.height // 2
        if min(half) < MIN_CROP_PX:
            raise ValueError(f"a quarter of {whole.width}x{whole.height} is under {MIN_CROP_PX} px")
        width, height = (
            max(round(side * rng.uniform(*self.crop_frac)), MIN_CROP_PX) for side in half
        )
        left = half[0] * (place % 2) + rng.randint(0, half[0] - width)
        top = half[1] * (place // 2) + rng.randint(0, half[1] - height)
        box = (left, top, left + width, top + height)
        return Question(
            "<image>\n<image>\nThe second picture is cut from the first. From which quarter?",
            QUARTERS[place],
            (whole, whole.crop(box)),
            options=QUARTERS,
            targets=(Box(*box),),
        )


@dataclass(frozen=True, slots=True)
class Rotation(Proxy):
    """By how many degrees a picture is turned against itself; chance 1/4."""

    def ask(self, picture: Picture, others: Sequence[Picture], *, rng: random.Random) -> Question:
        degrees = rng.choice(tuple(TURNS))
        turn = TURNS[degrees]
        turned = picture.image if turn is None else picture.image.transpose(turn)
        return Question(
            "<image>\n<image>\nThe second picture is the first, turned counter-clockwise. "
            "By how many degrees?",
            str(degrees),
            (picture.image, turned.copy()),
            options=tuple(map(str, TURNS)),
        )


@dataclass(frozen=True, slots=True)
class Jigsaw(Proxy):
    """Which of four numbered tiles belongs where; each right place pays a quarter, and a blind
    order gets a quarter of them.
    """

    @property
    def scorer(self) -> Scorer:
        return ItemsMatch(is_ordered=True)

    def ask(self, picture: Picture, others: Sequence[Picture], *, rng: random.Random) -> Question:
        whole = picture.image
        width, height = whole.width // 2, whole.height // 2
        corners = [(width * (i % 2), height * (i // 2)) for i in range(4)]
        order = rng.sample(range(4), 4)  # the tile at place i comes from place order[i]
        mixed = Image.new("RGB", (2 * width, 2 * height))
        for corner, source in zip(corners, order, strict=True):
            x, y = corners[source]
            mixed.paste(whole.crop((x, y, x + width, y + height)), corner)
        answer = "; ".join(str(order.index(place) + 1) for place in range(4))
        return Question(
            "The quarters of this picture are mixed up. Call them 1 (top left), 2 (top right), 3 "
            "(bottom left) and 4 (bottom right). Which belongs top left, top right, bottom left, "
            "bottom right? Answer with four numbers, 1; 2; 3; 4 if all are in place.",
            answer,
            (mixed,),
        )


@dataclass(frozen=True, slots=True)
class Contrastive(Proxy):
    """Whether two changed pictures come from one; chance 1/2. Each is a crop of 60 % to 90 % of the
    sides, half of them mirrored, lighter or darker by up to 40 %: the released code's choice of
    changes was not read, and these are ours.
    """

    @property
    def scorer(self) -> Scorer:
        return YesNo()

    def ask(self, picture: Picture, others: Sequence[Picture], *, rng: random.Random) -> Question:
        is_same = rng.random() < 0.5
        second = picture if is_same else rng.choice(others)
        return Question(
            "<image>\n<image>\nAre both made from one picture?",
            "yes" if is_same else "no",
            (_changed(picture.image, rng), _changed(second.image, rng)),
        )


def _changed(image: Image.Image, rng: random.Random) -> Image.Image:
    share = rng.uniform(0.6, 0.9)
    width, height = (max(round(side * share), 1) for side in image.size)
    left, top = rng.randint(0, image.width - width), rng.randint(0, image.height - height)
    crop = image.crop((left, top, left + width, top + height))
    if rng.random() < 0.5:
        crop = crop.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    return ImageEnhance.Brightness(crop).enhance(rng.uniform(0.6, 1.4))
