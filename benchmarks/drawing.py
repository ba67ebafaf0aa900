"""docs/tools.png: a dialog on a made scene in which drawing tools and a zoom share one canvas.

python benchmarks/drawing.py
"""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from vigorl.core.geometry import Box, Point
from vigorl.core.records import TraceRecord
from vigorl.core.trace import Step, ToolCall, Trace
from vigorl.data.encoding import ChatCodec, trace_rollout
from vigorl.data.images import ImageStore
from vigorl.data.prompts import Prompt
from vigorl.data.scenes.draw import SceneSettings, draw_scene
from vigorl.data.scenes.questions import ask_comparison
from vigorl.pages.picture import rollout_picture
from vigorl.resolvers import shipped
from vigorl.rollout.tools.draw_line import DrawLine
from vigorl.rollout.tools.mark_boxes import MarkBoxes
from vigorl.rollout.tools.mark_points import MarkPoints
from vigorl.rollout.tools.zoom_box import ZoomBox

DOCS = Path(__file__).resolve().parents[1] / "docs"
SIDE_PX, SEED = 448, 3
TOOLS: tuple[Any, ...] = (
    MarkPoints(),
    MarkBoxes(name="overlay_regions", strength=0.4),
    DrawLine(),
    ZoomBox(min_window_px=112, view_px=448, target="any"),
)


def main() -> None:
    model = shipped("tiny_start")
    images = ImageStore.from_pretrained(model, max_pixels=SIDE_PX**2)
    scene = draw_scene(SceneSettings(side_px=SIDE_PX, num_signs=5), seed=SEED)
    with TemporaryDirectory() as folder:
        path = Path(folder, "scene.png")
        scene.image.save(path)
        task = ask_comparison(scene, id="drawing", image=str(path))
        asked = [sign for sign in scene.signs if sign.name in task.question]
        view = images.whole(path)
        dots = [[p.x, p.y] for p in (view.to_text(sign.center) for sign in scene.signs)]
        boxes = [list(view.box_to_text(sign.box)) for sign in asked]
        around = list(view.box_to_text(_around([sign.center for sign in asked])))
        steps = (
            Step("All signs.", ToolCall("mark_points", {"points": dots})),
            Step("The two.", ToolCall("overlay_regions", {"boxes": boxes, "label": "sign"})),
            Step("", ToolCall("draw_line", {"points": [_middle(box) for box in boxes]})),
            Step("Closer.", ToolCall("zoom_box", {"bbox": around, "picture": 2})),
            Step("Now their stripes can be compared."),
        )
        rollout = trace_rollout(
            TraceRecord(task, Trace(steps, task.answer)),
            prompt=Prompt("Mark, draw, zoom, then answer."),
            codec=ChatCodec.from_pretrained(model),
            images=images,
            tools={tool.name: tool for tool in TOOLS},
        )
        rollout_picture(rollout, images, max_side_px=640).save(DOCS / "tools.png")


def _middle(box: list[float]) -> list[float]:
    return [(box[0] + box[2]) / 2, (box[1] + box[3]) / 2]


def _around(points: list[Point], *, margin_px: float = 60) -> Box:
    xs, ys = [point.x for point in points], [point.y for point in points]
    return Box(
        max(min(xs) - margin_px, 0), max(min(ys) - margin_px, 0),
        min(max(xs) + margin_px, SIDE_PX), min(max(ys) + margin_px, SIDE_PX),
    )  # fmt: skip


if __name__ == "__main__":
    main()
