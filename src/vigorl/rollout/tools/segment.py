"""The outline of one thing, found by a segmenter behind a service.

    {"name": "segment", "arguments": {"point": [50, 20]}}

    POST /segment {"image": PNG data URL, "point": [x, y], "box": [x1, y1, x2, y2], "text"} ->
    {"mask": PNG data URL of the image's size, bright where the thing is, "score"}

Of point, box and text those are sent that the call has, in pixels of the image; {"mask": null} is
nothing found. The reply shows the picture with all else darkened.
Source: OpenThinkIMG, arXiv:2505.08617 (`SegmentRegionAroundPoint`); RSVP, arXiv:2506.04277.
"""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import dataclass, replace
from functools import partial
from typing import Annotated, Any, ClassVar

import numpy as np
from PIL import Image, ImageEnhance

from vigorl.core.media import ImageView
from vigorl.core.protocols import (
    Argument,
    ArgumentKind,
    Observation,
    Scene,
    StatelessTool,
    ToolError,
    ToolSpec,
)
from vigorl.core.ranges import Range, Share
from vigorl.rollout.engines.server_api import png_url
from vigorl.rollout.tools.arguments import (
    PICTURE,
    read_box,
    read_picture,
    read_point,
    read_text,
    refuse_unknown,
)
from vigorl.rollout.tools.remade import remade_view, shown_part
from vigorl.rollout.tools.sent import Sent
from vigorl.rollout.tools.service import (
    UNREADABLE,
    AsksService,
    Question,
    digest_of,
    picture_of,
)

NOTHING = "Nothing was found there."


@dataclass(frozen=True, kw_only=True)
class Segment(AsksService, StatelessTool):
    """Replies with the thing's box and its share of the picture, and with the picture.

    Attributes:
        folder: Where the pictures that it makes are kept; equal ones share a file.
        light: Share of its brightness that is left to what is not the thing.
        most_pixels: Of what is sent.
    """

    folder: str
    name: str = "segment"
    light: Share = 0.3
    most_pixels: Annotated[int, Range(ge=784, le=100_000_000)] = 2_000_000
    spec: ClassVar = ToolSpec(
        (
            Argument("point", ArgumentKind.POINT, is_optional=True),
            Argument("bbox", ArgumentKind.BOX, is_optional=True),
            Argument("text", ArgumentKind.TEXT, is_optional=True),
            PICTURE,
        ),
        purpose="the exact outline of one thing, by a point on it, a box around it or its name",
        reply="its box, its share of the picture, and the picture with all else darkened",
    )

    def call(self, arguments: Mapping[str, object], *, scene: Scene) -> Observation:
        sent, question = self._read(arguments, scene)
        mask = self.service.answer(question, partial(self._mask, sent=sent))
        if not mask.any():
            return Observation((NOTHING,))
        rows, columns = np.nonzero(mask.any(axis=1))[0], np.nonzero(mask.any(axis=0))[0]
        edges = [columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]
        box = sent.box_to_original(list(map(int, edges)))
        assert box is not None  # it has a row and a column
        places = ", ".join(f"{side:g}" for side in sent.view.box_to_text(box))
        said = f"Found at [{places}]; it covers {mask.mean():.1%} of the picture:\n"
        return Observation((said, self._shown(mask, sent.view)))

    def ask_ahead(self, arguments: Mapping[str, object], *, scene: Scene) -> Future[Any]:
        return self.service.ask(self._read(arguments, scene)[1])

    def _read(self, arguments: Mapping[str, object], scene: Scene) -> tuple[Sent, Question]:
        refuse_unknown(arguments, self.spec)
        sent = Sent(scene[read_picture(arguments, PICTURE.name, scene=scene)], self.most_pixels)
        hints: dict[str, Any] = {}
        if "point" in arguments:
            hints["point"] = sent.to_sent(read_point(arguments, "point", image=sent.view))
        if "bbox" in arguments:
            hints["box"] = sent.box_to_sent(read_box(arguments, "bbox", image=sent.view))
        if "text" in arguments:
            hints["text"] = read_text(arguments, "text", most=200)
        if not hints:
            raise ToolError('The tool call needs a "point", a "bbox" or a "text".')
        digest = digest_of("segment", hints, pictures=[sent.picture])
        return sent, Question(
            digest, lambda post: post("/segment", {"image": png_url(sent.picture), **hints})
        )

    def _mask(self, answer: Any, sent: Sent) -> np.ndarray:
        """[height, width] of what was sent, True where the thing is.

        Raises:
            ToolError: The mask is none of this size.
        """
        size = (sent.size.width, sent.size.height)
        if answer["mask"] is None:
            return np.zeros(size[::-1], dtype=bool)
        mask = picture_of(answer["mask"]).convert("L")
        if mask.size != size:
            raise ToolError(UNREADABLE)
        return np.asarray(mask) > 127

    def _shown(self, mask: np.ndarray, view: ImageView) -> ImageView:
        picture = shown_part(replace(view, source=view.unmarked))
        lit = Image.fromarray(mask).resize(picture.size, Image.Resampling.NEAREST)
        dark = ImageEnhance.Brightness(picture).enhance(self.light)
        return remade_view(Image.composite(picture, dark, lit), like=view, folder=self.folder)
