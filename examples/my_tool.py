"""My own tool, with a memory: each look leaves a pin on the picture, and pins stay.

    PYTHONPATH=examples python -m vigorl.evaluate --config-dir examples/configs env=my_tool
    PYTHONPATH=examples python -m vigorl.train --config-dir examples/configs env=my_tool

What a model is told about the tool is written from its `spec`. configs/env/my_tool.yaml calls it
`search_coordinate`, since the tiny model that ships calls nothing else; others take any name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from vigorl.core.geometry import zoom_window
from vigorl.core.media import Dot, Region
from vigorl.core.protocols import Argument, ArgumentKind, Observation, Scene, ToolSpec
from vigorl.core.records import TaskRecord
from vigorl.rollout.tools.arguments import read_point, view_size


@dataclass(frozen=True, slots=True, kw_only=True)
class PinTool:
    """Opens a picture without pins for each dialog; sizes are in pixels, as those of a zoom."""

    name: str
    window_px: int
    view_px: int

    @property
    def spec(self) -> ToolSpec:
        return ToolSpec(
            (Argument("coordinate", ArgumentKind.POINT),),
            purpose="a look at a spot, which gets a pin",
            reply="an enlarged cut-out around that spot, with all pins so far",
        )

    def open(self, task: TaskRecord) -> OpenPinTool:
        return OpenPinTool(self)


@dataclass(slots=True)
class OpenPinTool:
    """The pins of one dialog. A search forks dialogs: each branch then sets pins of its own."""

    tool: PinTool
    pins: tuple[Dot, ...] = ()

    def call(self, arguments: Mapping[str, object], *, scene: Scene) -> Observation:
        image = scene.first
        point = read_point(arguments, "coordinate", image=image)  # a bad one is told to the model
        self.pins += (Dot(point, radius_px=2.0),)
        window = zoom_window(point, image=image.original, side_px=self.tool.window_px)
        size = view_size(window, view_px=self.tool.view_px)
        view = replace(image.edited(*self.pins), box=window, size=size)
        return Observation((f"Pin {len(self.pins)}:\n", view), Region(point, window))

    def fork(self) -> OpenPinTool:
        return replace(self)
