"""Does the answer depend on what the zoom shows? The same dialog with every crop plain grey.

    python -m vigorl.evaluate env=visual_search_zoom_blind compare_with=SEEING/report.json

A policy that only learned to go through the motions loses nothing; one that reads its crops falls
towards chance.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from vigorl.core.media import GREY, Fill
from vigorl.core.protocols import Observation, OpenTool, Scene, Tool, ToolSpec
from vigorl.core.records import TaskRecord


@dataclass(frozen=True, slots=True)
class BlindTool:
    """A tool that looks where it is told and shows grey; sizes and wording stay the real one's.

    Attributes:
        tool: The real one.
    """

    tool: Tool

    @property
    def name(self) -> str:
        return self.tool.name

    @property
    def spec(self) -> ToolSpec:
        return self.tool.spec

    def open(self, task: TaskRecord) -> OpenTool:
        return _OpenBlind(self.tool.open(task))


@dataclass(frozen=True, slots=True)
class _OpenBlind:
    tool: OpenTool

    def call(self, arguments: Mapping[str, object], *, scene: Scene) -> Observation:
        seen = self.tool.call(arguments, scene=scene)
        return seen.with_views(lambda view: view.edited(Fill(rgb=GREY)))

    def fork(self) -> OpenTool:
        return _OpenBlind(self.tool.fork())
