"""Boxes around things named in words, found by a detector behind a service.

    {"name": "detect", "arguments": {"text": "red sign"}}

`protocol` says how the service is asked:

    boxes         POST /detect {"image": PNG data URL, "text", "most"} ->
                  {"boxes": [{"box": [x1, y1, x2, y2], "label", "score"}]}, in pixels of the image
    chat          an OpenAI-compatible endpoint of a vision-language model that writes boxes as
                  JSON, [{"bbox_2d": [x1, y1, x2, y2], "label"}], as Qwen2.5-VL and Qwen3-VL do
    openthinkimg  POST /worker_generate {"image": base64, "param", "box_threshold",
                  "text_threshold"} -> {"text": {"boxes", "logits", "phrases"}}, in shares of the
                  image: a GroundingDINO worker of zhaochen0110/OpenThinkIMG 45d295f
Source: OpenThinkIMG, arXiv:2505.08617; VTS-V, arXiv:2506.07235; RSVP, arXiv:2506.04277 (regions
proposed in words, numbered on the picture).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, ClassVar, Literal

from vigorl.core.errors import ConfigError
from vigorl.core.geometry import Box, Size
from vigorl.core.media import ImageView, Outline
from vigorl.core.protocols import (
    Argument,
    ArgumentKind,
    Observation,
    Scene,
    StatelessTool,
    ToolSpec,
)
from vigorl.core.ranges import AtLeastOne, Range, Share
from vigorl.rollout.engines.server_api import png_url
from vigorl.rollout.tools.arguments import PICTURE, read_text, refuse_unknown
from vigorl.rollout.tools.canvas import canvas_of, num_marks, numbered_boxes
from vigorl.rollout.tools.outside import one_line
from vigorl.rollout.tools.sent import Sent
from vigorl.rollout.tools.service import AsksService, Question, digest_of

NOTHING = "Nothing of that kind was found."
ASKED = (
    "Locate every instance of: {text}. Reply with a JSON list alone, one entry for each: "
    '[{"bbox_2d": [x1, y1, x2, y2], "label": "..."}]; an empty list if there is none.'
)
_JSON = re.compile(r"\[\s*\]|\[\s*\{.*\}\s*\]|\{.*\}", re.DOTALL)  # in a block or between words
_UNNAMED = ("", "label", "object")  # what models write that name nothing


@dataclass(frozen=True, slots=True)
class _Found:
    box: Box  # ORIGINAL frame
    name: str
    score: float | None


@dataclass(frozen=True, kw_only=True)
class Detect(AsksService, StatelessTool):
    """Replies with the boxes as a numbered list, and with the picture that has them on it.

    Attributes:
        protocol: How the service is asked.
        model: The served model's name, of `chat`.
        frame: What the numbers of `chat` count: pixels of what is sent, or thousandths of it.
        most: Boxes of a reply, those of the highest scores.
        min_score: Boxes of lower scores are left out.
        marks: Whether the picture is shown too.
        most_pixels: Of what is sent.
        multiple_of: What both sides of what is sent are multiples of, so that a model's own scaling
            changes nothing: 28 for Qwen2.5-VL, 32 for Qwen3-VL.
        prompt: The question of `chat`, with the field {text}.
        max_new_tokens: Of the reply of `chat`.
    Raises:
        ConfigError: `chat` without a model, or a model without `chat`.
    """

    name: str = "detect"
    protocol: Literal["boxes", "chat", "openthinkimg"] = "boxes"
    model: str = ""
    frame: Literal["pixels", "permille"] = "pixels"
    most: AtLeastOne = 10
    min_score: Share = 0.0
    marks: bool = True
    most_pixels: Annotated[int, Range(ge=784, le=100_000_000)] = 2_000_000
    multiple_of: AtLeastOne = 28
    prompt: str = ASKED
    max_new_tokens: AtLeastOne = 1024
    spec: ClassVar = ToolSpec(
        (Argument("text", ArgumentKind.TEXT), PICTURE),
        purpose="the places of all things that some words name",
        reply="a numbered box around each",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if (self.protocol == "chat") != bool(self.model):
            raise ConfigError(
                f"tools.{self.name}.model={self.model!r} names the model of protocol=chat, and "
                f"there is protocol={self.protocol}: set both, or neither"
            )

    def call(self, arguments: Mapping[str, object], *, scene: Scene) -> Observation:
        canvas, sent, question = self._read(arguments, scene)
        found = [
            one
            for one in self.service.answer(question, partial(self._found, sent=sent))
            if one.score is None or one.score >= self.min_score
        ]
        found = sorted(found, key=lambda one: -(one.score or 0.0))[: self.most]
        if not found:
            return Observation((NOTHING,))
        first = num_marks(canvas, Outline) + 1 if self.marks else 1
        lines = [_line(number, one, canvas) for number, one in enumerate(found, start=first)]
        text = "\n".join(lines)
        if not self.marks:
            return Observation((text,))
        marks = numbered_boxes([one.box for one in found], [""] * len(found), canvas=canvas)
        return Observation((f"{text}\n", canvas.edited(*marks)))

    def ask_ahead(self, arguments: Mapping[str, object], *, scene: Scene) -> Future[Any]:
        return self.service.ask(self._read(arguments, scene)[2])

    def _read(
        self, arguments: Mapping[str, object], scene: Scene
    ) -> tuple[ImageView, Sent, Question]:
        refuse_unknown(arguments, self.spec)
        canvas = canvas_of(arguments, scene=scene)
        text = read_text(arguments, "text", most=200)
        sent = Sent(canvas, self.most_pixels, self.multiple_of if self.protocol == "chat" else 1)
        asked = {
            "chat": [self.model, self.prompt, self.max_new_tokens],
            "boxes": [self.most],
            "openthinkimg": [self.min_score],
        }
        digest = digest_of(self.protocol, text, *asked[self.protocol], pictures=[sent.picture])
        path, body = _ASKING[self.protocol]
        return canvas, sent, Question(digest, lambda post: post(path, body(self, sent, text)))

    def _found(self, answer: Any, sent: Sent) -> list[_Found]:
        """What an answer says, in any of the protocols."""
        is_permille = self.protocol == "chat" and self.frame == "permille"
        grid = Size(1000, 1000) if is_permille else None
        grid = Size(1, 1) if self.protocol == "openthinkimg" else grid
        entries = _READING[self.protocol](answer)
        boxes = [(sent.box_to_original(entry[0], grid=grid), *entry[1:]) for entry in entries]
        return [_Found(box, _name(name), score) for box, name, score in boxes if box is not None]


_Entry = tuple[list[Any], Any, float | None]  # box, label, score


def _boxes_body(tool: Detect, sent: Sent, text: str) -> dict[str, Any]:
    return {"image": png_url(sent.picture), "text": text, "most": tool.most}


def _chat_body(tool: Detect, sent: Sent, text: str) -> dict[str, Any]:
    content = [
        {"type": "image_url", "image_url": {"url": png_url(sent.picture)}},
        {"type": "text", "text": tool.prompt.replace("{text}", text)},
    ]
    return {
        "model": tool.model,
        "messages": [{"role": "user", "content": content}],
        "max_tokens": tool.max_new_tokens,
        "temperature": 0.0,
        "seed": 0,
    }


def _worker_body(tool: Detect, sent: Sent, text: str) -> dict[str, Any]:
    image = png_url(sent.picture).partition(",")[2]
    least = max(tool.min_score, 0.3)  # and 0.25: its own defaults, which it wants to be told
    return {"image": image, "param": text, "box_threshold": least, "text_threshold": 0.25}


def _read_boxes(answer: Any) -> list[_Entry]:
    return [(one["box"], one.get("label"), _score(one.get("score"))) for one in answer["boxes"]]


def _read_chat(answer: Any) -> list[_Entry]:
    content = answer["choices"][0]["message"]["content"]
    if (found := _JSON.search(content)) is None:
        raise ValueError("no JSON")
    entries = json.loads(found[0])
    entries = [entries] if isinstance(entries, dict) else entries
    return [(one["bbox_2d"], one.get("label"), None) for one in entries]


def _read_worker(answer: Any) -> list[_Entry]:
    found = answer["text"]
    entries = zip(found["boxes"], found["phrases"], found["logits"], strict=True)
    return [(box, phrase, _score(logit)) for box, phrase, logit in entries]


_ASKING = {
    "boxes": ("/detect", _boxes_body),
    "chat": ("/v1/chat/completions", _chat_body),
    "openthinkimg": ("/worker_generate", _worker_body),
}
_READING = {"boxes": _read_boxes, "chat": _read_chat, "openthinkimg": _read_worker}


def _score(value: Any) -> float | None:
    return None if value is None else float(value)


def _name(label: Any) -> str:
    name = one_line(label)
    return "" if name in _UNNAMED else name


def _line(number: int, one: _Found, image: ImageView) -> str:
    places = ", ".join(f"{side:g}" for side in image.box_to_text(one.box))
    score = "" if one.score is None else f" ({one.score:.2f})"
    return f"{number}.{' ' if one.name else ''}{one.name} [{places}]{score}"
