"""What is written in a picture, or in a part of one, read by an OCR engine.

    {"name": "read_text", "arguments": {"bbox": [40, 10, 60, 30]}}

The engine is RapidOCR (PP-OCR models, which come inside its wheel) on the CPU, in this process:
pip install 'vigorl[ocr]'.
Source: OpenThinkIMG, arXiv:2505.08617; VTS-V, arXiv:2506.07235 (`OCR`).
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Annotated, Any, ClassVar

import numpy as np
from PIL import Image

from vigorl.core.errors import ConfigError
from vigorl.core.geometry import box_window
from vigorl.core.media import ImageView, Region
from vigorl.core.protocols import (
    Argument,
    ArgumentKind,
    Observation,
    Scene,
    StatelessTool,
    ToolSpec,
)
from vigorl.core.ranges import AtLeastOne, Range, Share, check_ranges
from vigorl.rollout.tools.arguments import PICTURE, read_box, read_picture, refuse_unknown
from vigorl.rollout.tools.outside import one_line
from vigorl.rollout.tools.sent import Sent

NOTHING = "No text was found."
_EDGE = 8  # pixels around what is read: letters that touch the border are lost


@dataclass(frozen=True, slots=True)
class TextLine:
    """A line of text in a picture.

    Attributes:
        text: One line.
        box: Around it, in the pixels of the picture.
        score: How sure the engine is, in [0, 1].
    """

    text: str
    box: tuple[float, float, float, float]
    score: float


@dataclass(frozen=True, kw_only=True)
class ReadText(StatelessTool):
    """Replies with the lines in reading order, each with its box.

    Attributes:
        min_score: Lines of which the engine is less sure are left out.
        text_characters: Of a reply.
        most_pixels: Of what the engine reads; larger parts are made smaller.
        name: What the policy calls it.
    Raises:
        ConfigError: The engine is not installed.
    """

    min_score: Share = 0.5
    text_characters: AtLeastOne = 1000
    most_pixels: Annotated[int, Range(ge=784, le=100_000_000)] = 2_000_000
    name: str = "read_text"
    spec: ClassVar = ToolSpec(
        (Argument("bbox", ArgumentKind.BOX, is_optional=True), PICTURE),
        purpose="the text in a picture or a part of it",
        reply="its lines, each with its box",
    )

    def __post_init__(self) -> None:
        check_ranges(self, f"tools.{self.name}")
        check_ocr(f"tools=[{self.name}]")

    def call(self, arguments: Mapping[str, object], *, scene: Scene) -> Observation:
        refuse_unknown(arguments, self.spec)
        index = read_picture(arguments, PICTURE.name, scene=scene)
        image = part = replace(scene[index], source=scene[index].unmarked)
        focus = None
        if "bbox" in arguments:
            box = read_box(arguments, "bbox", image=image)
            window = box_window(box, image=image.original, min_side_px=1)
            part, focus = replace(image, box=window), Region(box.center, window, index)
        lines = [one for one in _lines(part, self.most_pixels) if one.score >= self.min_score]
        if not lines:
            return Observation((NOTHING,), focus)
        said = [_said(line, image, Sent(part, self.most_pixels)) for line in lines]
        return Observation((_cut(said, self.text_characters),), focus)


def check_ocr(who: str) -> None:
    """Refuse `who` where the OCR engine is not installed.

    Raises:
        ConfigError: It is not.
    """
    try:
        import onnxruntime
        import rapidocr
    except ImportError as error:
        raise ConfigError(
            f"{who} reads text with the packages rapidocr and onnxruntime, and {error.name} is "
            "not installed: pip install 'vigorl[ocr]'"
        ) from error
    del onnxruntime, rapidocr


def lines_of(picture: Image.Image) -> list[TextLine]:
    """The text of an RGB picture, line by line, in reading order."""
    least = max(64, max(picture.size) // 4)  # of long strips the engine reads nothing
    sides = [max(side + 2 * _EDGE, least) for side in picture.size]
    around = Image.new("RGB", (sides[0], sides[1]), picture.getpixel((0, 0)))
    around.paste(picture, (_EDGE, _EDGE))
    found = _engine()(np.ascontiguousarray(np.asarray(around)[:, :, ::-1]))
    if found.txts is None:
        return []
    lines: list[TextLine] = []
    for text, corners, score in zip(found.txts, found.boxes, found.scores, strict=True):
        left, top = np.min(corners, axis=0) - _EDGE
        right, bottom = np.max(corners, axis=0) - _EDGE
        box = (float(left), float(top), float(right), float(bottom))
        lines.append(TextLine(one_line(text, most=300), box, float(score)))
    return lines


@lru_cache(maxsize=1)
def _engine() -> Any:
    from rapidocr import RapidOCR

    threads = int(os.environ.get("OMP_NUM_THREADS") or 0) or (os.cpu_count() or 1)
    return RapidOCR(
        params={
            "Global.log_level": "critical",
            "Global.use_cls": False,  # text that stands on its head
            "EngineConfig.onnxruntime.intra_op_num_threads": threads,
        }
    )


@lru_cache(maxsize=4096)
def _lines(part: ImageView, most_pixels: int) -> tuple[TextLine, ...]:
    return tuple(lines_of(Sent(part, most_pixels).picture))


def _said(line: TextLine, image: ImageView, sent: Sent) -> str:
    box = sent.box_to_original(line.box) or sent.view.region
    places = ", ".join(f"{side:g}" for side in image.box_to_text(box))
    return f"{line.text} [{places}]"


def _cut(lines: list[str], most: int) -> str:
    """As many lines as there is room for, and how many are left out."""
    kept, length = 0, 0
    while kept < len(lines) and length + len(lines[kept]) < most:
        length += len(lines[kept]) + 1
        kept += 1
    left_out = len(lines) - kept
    more = [f"({left_out} more lines: read a smaller part)"] if left_out else []
    return "\n".join([*lines[:kept], *more])
