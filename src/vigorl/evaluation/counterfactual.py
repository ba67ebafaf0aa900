"""Does the answer depend on what the zoom shows? The same dialog with every crop plain grey.

    blind = Environment(..., tools=[BlindTool(tool, folder=scratch)])
    drop = evaluate(engine, seeing, tasks, reward).compare(evaluate(engine, blind, tasks, reward))

A policy that only learned to go through the motions loses nothing; one that reads its crops falls
towards chance.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from PIL import Image

from vigorl.core.geometry import Point, Size
from vigorl.core.protocols import Tool, ToolResult
from vigorl.core.records import ImageView

GREY = (128, 128, 128)


class BlindTool:
    """A tool that looks where it is told and shows grey.

    Window, size and wording stay those of the real one.

    Args:
        tool: The real one.
        folder: Where the grey pictures are kept, one for each size of picture.
    """

    def __init__(self, tool: Tool, *, folder: str | os.PathLike[str]) -> None:
        self._tool, self._folder = tool, Path(folder)

    @property
    def name(self) -> str:
        return self._tool.name

    def call(self, arguments: Mapping[str, object], *, image: ImageView) -> ToolResult:
        result = self._tool.call(arguments, image=image)
        path = self._grey_picture(result.view.original)
        return replace(result, view=replace(result.view, path=str(path)))

    def render_arguments(self, target: Point, *, image: ImageView) -> Mapping[str, object]:
        return self._tool.render_arguments(target, image=image)

    def _grey_picture(self, size: Size) -> Path:
        path = self._folder / f"grey_{size.width}x{size.height}.png"
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            partial = path.with_suffix(f".{os.getpid()}.tmp")  # another rank may write the same one
            Image.new("RGB", (size.width, size.height), GREY).save(partial, "PNG")
            partial.replace(path)
        return path
