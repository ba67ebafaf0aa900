"""What a proxy task promises: a picture in, a question with its answer out."""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field

from PIL import Image

from vigorl.core.geometry import Box
from vigorl.core.scoring import Scorer, TextMatch


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture to ask about.

    Attributes:
        image: RGB.
        caption: What is known to be true of it; "" is nothing.
        boxes: Of things on it, where they are known.
    """

    image: Image.Image
    caption: str = ""
    boxes: tuple[Box, ...] = ()


@dataclass(frozen=True, slots=True)
class Question:
    """What becomes a `TaskRecord` once its pictures are files.

    Attributes:
        text: With one `<image>` per picture, or none for one picture before the text.
        answer: The right one.
        images: The pictures shown.
        options: Of a multiple-choice question.
        targets: Boxes that must be seen, pixels of the first picture.
    """

    text: str
    answer: str
    images: tuple[Image.Image, ...]
    options: tuple[str, ...] = ()
    targets: tuple[Box, ...] = ()
    tags: dict[str, str] = field(default_factory=dict)


class Proxy(ABC):
    """Makes questions; its fields are plain values, which stand in the data's stamp."""

    __slots__ = ()

    @property
    def scorer(self) -> Scorer:
        """Judges the answers."""
        return TextMatch()

    @property
    def needs_captions(self) -> bool:
        return False

    @abstractmethod
    def ask(self, picture: Picture, others: Sequence[Picture], *, rng: random.Random) -> Question:
        """A question about a picture.

        Args:
            picture: It.
            others: Of the same split, for wrong answers; at least one.
            rng: Decides everything.
        Raises:
            ValueError: The picture is too small, or says too little, to be asked about.
        """
