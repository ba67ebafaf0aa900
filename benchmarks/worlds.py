"""What can be reached on the made world's variants: `python benchmarks/worlds.py`, a minute.

For each data=made_world_...: the share right of one who sees the overview alone and guesses the
stripes it does not show, that of a careful teacher (it looks at every asked sign, aims within 8 px,
and looks again after a miss), and its looks per answer. `--picture FILE` also draws one scene of
each, with its question, its answer, and its targets in yellow. The tables of docs/worlds.md.

And for data=made_clips: one who sees the first frame and the last, one who is shown 6 or 8 frames
at an even distance, and the careful teacher, who chooses two at a time; for data=made_views: one
who is shown the four cameras in the middle, and the careful teacher, who chooses one at a time.
"""

from __future__ import annotations

import argparse
import random
import statistics
from pathlib import Path

from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from PIL import Image, ImageDraw, ImageFont

from vigorl.build import prepare_process
from vigorl.core.geometry import Size
from vigorl.core.media import FileImage, ImageView
from vigorl.core.records import TaskRecord
from vigorl.data.clips.draw import Clip
from vigorl.data.clips.teacher import ClipTeacher
from vigorl.data.clips.views import MadeViews, Views, ask_views
from vigorl.data.clips.world import MadeClips, ask_clip, header_of
from vigorl.data.frames import Even
from vigorl.data.scenes.draw import Scene
from vigorl.data.scenes.teacher import ScriptedTeacher, TeacherSettings
from vigorl.data.scenes.variants.between import Between
from vigorl.data.scenes.world import MadeWorld
from vigorl.resolvers import CONFIGS
from vigorl.rollout.tools.draw_line import DrawLine
from vigorl.rollout.tools.zoom_box import ZoomBox
from vigorl.rollout.tools.zoom_point import ZoomPoint

NAMES = (
    "comparison", "hard", "economy", "cold", "shortcut", "route", "lists", "boxes", "box_lists",
    "forms", "between",
)  # fmt: skip
VIEW = ImageView(FileImage("a.png"), Size(448, 448), Size(112, 112))
CAREFUL = TeacherSettings(hasty_frac=0.0, look_again_frac=1.0, look_at_second_frac=1.0)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--questions", type=int, default=300, help="per variant, of its test split")
    parser.add_argument("--picture", type=Path)
    said = parser.parse_args()
    prepare_process()
    tiles: list[Image.Image] = []
    print(f"{'':12}{'overview alone':>16}{'careful teacher':>17}{'looks':>7}")
    for name in NAMES:
        with initialize_config_dir(CONFIGS, version_base="1.3"):
            world: MadeWorld = instantiate(compose("train", [f"data=made_world_{name}"]).data)
        asked = [
            (world._ask(scene, "test", i, "a.png", str(i)), scene)
            for i, scene in world._scenes("test", said.questions, ())
        ]
        blind, careful, looks = reach(world, asked)
        print(f"{name:12}{100 * blind:14.1f} %{100 * careful:15.1f} %{looks:7.2f}")
        shown = [pair for pair in asked if pair[1].signs[0].is_large] or asked
        tiles.append(tile(name, *shown[0]))
    clips_reach(said.questions)
    views_reach(said.questions)
    if said.picture:
        sheet(tiles).save(said.picture, optimize=True)


def reach(world: MadeWorld, asked: list[tuple[TaskRecord, Scene]]) -> tuple[float, float, float]:
    """The mean score without a look, that of the careful teacher, and its looks per answer."""
    names_boxes = world.variant.names_boxes
    tool = ZoomPoint(window_px=112, view_px=112)
    if names_boxes:
        tool = ZoomBox(min_window_px=112, view_px=112)
    elif isinstance(world.variant, Between):
        tool = DrawLine(window_px=112)
    teacher = ScriptedTeacher(CAREFUL, tool=tool, names_boxes=names_boxes)  # pyright: ignore
    blind, careful, looks = list[float](), list[float](), list[int]()
    for task, scene in asked:
        rng = random.Random(task.id)
        guess = teacher.single_look_trace(task, scene, VIEW, rng, grounded=True)
        trace = teacher.zoom_trace(task, scene, VIEW, rng).trace
        blind.append(task.score(guess.trace.answer, view=VIEW))
        careful.append(task.score(trace.answer, view=VIEW))
        looks.append(len(trace.steps) - 1)
    return statistics.fmean(blind), statistics.fmean(careful), statistics.fmean(looks)


def clips_reach(questions: int) -> None:
    """Of the made clips: what even frames show, and what a careful teacher finds."""
    with initialize_config_dir(CONFIGS, version_base="1.3"):
        world: MadeClips = instantiate(compose("train", ["data=made_clips"]).data)
    teacher = ClipTeacher(hasty_frac=0.0, look_again_frac=1.0)
    right: dict[str, list[bool]] = {}
    frames: list[int] = []
    for i, clip in world.clips("test", questions):
        assert isinstance(clip, Clip)
        task, rng = ask_clip(clip, id=str(i), video="a.mp4"), random.Random(i)
        for count in (2, 6, 8):
            numbers = Even(count=count).numbers(header_of(clip))
            watched = teacher.watching_trace(task, clip, numbers, rng)
            right.setdefault(f"{count} even frames", []).append(task.is_right(watched.trace.answer))
        chosen = teacher.choosing_trace(task, clip, rng).trace
        right.setdefault("careful teacher", []).append(task.is_right(chosen.answer))
        frames.append(2 + 2 * (len(chosen.steps) - 1))
    cells = [f"{name} {100 * statistics.fmean(found):.1f} %" for name, found in right.items()]
    print(f"clips: {', '.join(cells)} with {statistics.fmean(frames):.2f} frames")


def views_reach(questions: int) -> None:
    """Of the made views: what fixed cameras show, and what a careful teacher finds."""
    with initialize_config_dir(CONFIGS, version_base="1.3"):
        cfg = compose("train", ["data=made_views_fixed"]).data
    world: MadeViews = instantiate(cfg)
    call = {"frames": 1, "error_frames": 0, "tool": "choose_camera", "argument": "cameras"}
    teacher = ClipTeacher(hasty_frac=0.0, look_again_frac=1.0, **call)
    fixed, careful, looks = list[bool](), list[bool](), list[int]()
    for i, views in world.clips("test", questions):
        assert isinstance(views, Views)
        task, rng = ask_views(views, id=str(i), path="a.views"), random.Random(i)
        watched = teacher.watching_trace(task, views, cfg.frames.indices, rng)
        fixed.append(task.is_right(watched.trace.answer))
        chosen = teacher.choosing_trace(task, views, rng).trace
        careful.append(task.is_right(chosen.answer))
        looks.append(len(chosen.steps) - 1)
    shares = (100 * statistics.fmean(found) for found in (fixed, careful))
    cells = "views: four fixed cameras {:.1f} %, careful teacher {:.1f} %".format(*shares)
    print(f"{cells} with {statistics.fmean(looks):.2f} cameras")


def tile(name: str, task: TaskRecord, scene: Scene) -> Image.Image:
    image = scene.image.copy()
    for target in task.targets:
        ImageDraw.Draw(image).rectangle(target.as_tuple(), outline=(255, 255, 0), width=3)
    found = Image.new("RGB", (456, 526), "white")
    found.paste(image, (0, 70))
    texts = [task.question, f"-> {task.answer}"]
    lines = [text[at : at + 66] for text in texts for at in range(0, len(text), 66)]
    font = ImageFont.load_default(13)
    for number, line in enumerate([name, *lines][:5]):
        ImageDraw.Draw(found).text((4, 2 + 13 * number), line, fill="black", font=font)
    return found


def sheet(tiles: list[Image.Image], columns: int = 5) -> Image.Image:
    width, height = tiles[0].size
    found = Image.new("RGB", (width * columns, height * -(-len(tiles) // columns)), "white")
    for number, one in enumerate(tiles):
        found.paste(one, (number % columns * width, number // columns * height))
    return found.resize((found.width * 2 // 3, found.height * 2 // 3), Image.Resampling.LANCZOS)


if __name__ == "__main__":
    main()
