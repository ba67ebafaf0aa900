"""Python that edits or measures the pictures, in a process that can do nothing else.

    {"name": "run_code", "arguments": {"code": "result = images[0].crop((40, 10, 60, 30))"}}

The code finds all pictures shown so far as `images` (Pillow, RGB, as large as the policy sees them,
so that its places are their pixels), and `np`, `Image`, `ImageDraw` and their like. What it prints
is the reply, with the picture that it calls `result` and those that it saves as PNG or JPEG.
What keeps it inside: `rollout.sandbox.walls`.
Source: V-Thinker, arXiv:2511.04460; Visual Programmability, arXiv:2509.09286.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, ClassVar

from PIL import Image

from vigorl.core.geometry import Size
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
from vigorl.core.ranges import AtLeastOne, Range, check_ranges
from vigorl.data.pictures import keep_picture
from vigorl.rollout.sandbox.cell import Limits, check_walls, run
from vigorl.rollout.tools.arguments import read_text, refuse_unknown
from vigorl.rollout.tools.outside import harmless
from vigorl.rollout.tools.remade import shown_part

_MOST_OF_FAULT = 400  # characters


@dataclass(frozen=True, kw_only=True)
class RunCode(StatelessTool):
    """Runs a piece of Python.

    Attributes:
        folder: Where the pictures that it makes are kept; equal ones share a file.
        seconds: That it may take.
        memory_mb: Address space, of which Python and its libraries take about 300.
        disk_mb: Of files that it writes, together.
        code_characters: Of a code.
        text_characters: Of what it prints, that are shown.
        most_pictures: That it may leave.
        most_pixels: Of each.
        unsafe: Run where the kernel cannot keep a code inside, too.
        name: What the policy calls it.
    """

    folder: str
    seconds: Annotated[float, Range(gt=0, le=600)] = 10.0
    memory_mb: Annotated[int, Range(ge=512, le=65536)] = 1024
    disk_mb: Annotated[int, Range(ge=1, le=1024)] = 64
    code_characters: AtLeastOne = 8000
    text_characters: AtLeastOne = 1000
    most_pictures: AtLeastOne = 4
    most_pixels: Annotated[int, Range(ge=784, le=100_000_000)] = 4_000_000
    unsafe: bool = False
    name: str = "run_code"
    spec: ClassVar = ToolSpec(
        (Argument("code", ArgumentKind.TEXT),),
        purpose="Python that reads the list of Pillow pictures `images`, prints, and names a "
        "picture `result`",
        reply="what it prints and that picture",
    )

    def __post_init__(self) -> None:
        check_ranges(self, "tools.run_code")
        if not self.unsafe:
            check_walls()

    def call(self, arguments: Mapping[str, object], *, scene: Scene) -> Observation:
        refuse_unknown(arguments, self.spec)
        code = read_text(arguments, "code", most=self.code_characters)
        limits = Limits(
            seconds=self.seconds,
            memory_mb=self.memory_mb,
            disk_mb=self.disk_mb,
            characters=self.text_characters,
            pictures=self.most_pictures,
            pixels=self.most_pixels,
        )
        left = run(code, list(map(_as_shown, scene.views)), limits=limits, unsafe=self.unsafe)
        if left.fault:
            raise ToolError(harmless(left.fault)[:_MOST_OF_FAULT])
        said = harmless(left.text).strip()
        if not said and not left.pictures:
            return Observation(("The code printed nothing and left no picture.",))
        parts: list[str | ImageView] = [f"The code printed:\n{said}\n"] if said else []
        for picture in left.pictures:
            view = self._view(picture, like=scene.first)
            parts += ["The code left a picture:\n", view, "\n"]
        return Observation(tuple(parts[:-1] if left.pictures else parts))

    def _view(self, picture: Image.Image, *, like: ImageView) -> ImageView:
        size = Size(*picture.size)
        return ImageView(keep_picture(picture, self.folder), size, size, frame=like.frame)


def _as_shown(view: ImageView) -> Image.Image:
    """A view's pixels at the size at which the policy sees it."""
    return shown_part(view).resize((view.size.width, view.size.height), Image.Resampling.BICUBIC)
