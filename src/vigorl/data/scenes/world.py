"""The made world on disk, in the real data sets' formats, so that it is read by the same readers.

    ROOT/world.json                 the settings that made it; other settings need another ROOT
    ROOT/train_RL.jsonl             questions for rollouts           (released RL format)
    ROOT/train_SFT.jsonl            the teacher's traces             (released SFT format)
    ROOT/train_signs.jsonl          what is drawn where              (for the tower's first lessons)
    ROOT/images/*.png               their pictures
    ROOT/val/ ROOT/test/            held-out questions               (V*Bench's folder layout; those
                                    without options as questions.jsonl, in the RL format)

Every picture is a scene of its own: splits draw from seeds that never meet.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TextIO

from PIL import Image
from tqdm import tqdm

from vigorl.core.errors import ConfigError, DataError
from vigorl.core.geometry import Point, Size
from vigorl.core.media import FileImage, ImageView
from vigorl.core.protocols import Tool
from vigorl.core.records import TaskRecord, TraceRecord
from vigorl.core.scoring import Scorer
from vigorl.data.datasets import split_by_image
from vigorl.data.images import open_image
from vigorl.data.scenes.draw import Scene, SceneSettings, Sign, scene_size
from vigorl.data.scenes.questions import CATEGORIES, asked_signs
from vigorl.data.scenes.teacher import ScriptedTeacher, TeacherSettings, pointing_trace
from vigorl.data.scenes.variants.variant import Variant
from vigorl.data.scenes.written import MAKE_ANEW, WrittenWorld
from vigorl.data.sources.rl_jsonl import read_rl_jsonl, write_rl_jsonl
from vigorl.data.sources.sft_json import read_sft_json, write_sft
from vigorl.data.sources.vstar_folder import read_vstar_folder, write_vstar_folder
from vigorl.data.splits import DataSplits

VERSION = 3  # raise it when the drawing, the questions or the files change
_OPEN = "questions.jsonl"
_SPLIT_SEEDS = {"train": 1, "val": 2, "test": 3, "traces": 4}


@dataclass(frozen=True, slots=True)
class TraceMix:
    """Which traces are written per scene of the `traces` split: one of three kinds, by their
    shares, and a pointing exercise.

    Attributes:
        zoom: Share of multi-turn traces of the hasty teacher.
        single_look: Share of traces of one turn with points, no zoom.
        ungrounded: Share of traces of one turn without points.
        pointing: Whether each scene also gets a trace that says where every sign is.
        zoom_system, single_look_system, ungrounded_system: The system prompts they are written
            under.
    """

    zoom: float = 0.7
    single_look: float = 0.15
    ungrounded: float = 0.15
    pointing: bool = True
    zoom_system: str = ""
    single_look_system: str = ""
    ungrounded_system: str = ""


@dataclass(frozen=True, kw_only=True)
class MadeWorld(WrittenWorld):
    """Draws the world where it is missing and loads it; a `data.splits.DataSource`.

    Attributes:
        scene: How hard the pictures are.
        num_train, num_val, num_test: Questions, one per picture.
        comparison_frac: Share of questions that compare two signs.
        seed: Of the world.
        photographs: A folder of real photographs to draw on; None draws plain clutter.
        num_traces: Scenes with traces; 0 writes none.
        mix: Which traces.
        teacher: How hasty the teacher is.
        tool: What traces call, a zoom but for variants that say otherwise; needed with traces.
        trace_categories: Traces to serve ("pointing" is the exercise); None serves all.
        view: Size in pixels at which the model sees a whole picture: the frame of the traces'
            coordinates.
        variant: What it draws and asks otherwise (`data.scenes.variants`).
    """

    scene: SceneSettings = field(default_factory=SceneSettings)
    num_train: int = 2000
    num_val: int = 128
    num_test: int = 600
    comparison_frac: float = 0.5
    seed: int = 0
    photographs: str | None = None
    num_traces: int = 0
    mix: TraceMix = field(default_factory=TraceMix)
    teacher: TeacherSettings = field(default_factory=TeacherSettings)
    tool: Tool | None = None
    trace_categories: tuple[str, ...] | None = None
    view: int = 112
    variant: Variant = field(default_factory=Variant)

    def load(self) -> DataSplits:
        root = Path(self.root)
        scorer = self.variant.scorer
        traces = read_sft_json(root / "train_SFT.jsonl", scorer=scorer) if self.num_traces else []
        if self.trace_categories is not None:
            traces = [trace for trace in traces if trace.task.category in self.trace_categories]
        train_traces, val_traces = split_by_image(traces, holdout_frac=0.05) if traces else ([], [])
        splits = DataSplits(
            train_tasks=read_rl_jsonl(root / "train_RL.jsonl", scorer=scorer),
            val_tasks=_read_benchmark(root / "val", scorer=scorer),
            test_tasks=_read_benchmark(root / "test", scorer=scorer),
            train_traces=train_traces,
            val_traces=val_traces,
        )
        for name in ("train", "val", "test"):
            found, made = len(getattr(splits, f"{name}_tasks")), getattr(self, f"num_{name}")
            if found != made:
                text = f"{found} of {made} {name} questions are left: {MAKE_ANEW}"
                raise DataError(text, path=root)
        return splits

    def _stamp(self) -> dict[str, object]:
        stamp: dict[str, object] = {
            key: getattr(self, key)
            for key in (
                "num_train",
                "num_val",
                "num_test",
                "comparison_frac",
                "seed",
                "photographs",
            )
        }
        stamp |= {"version": VERSION, "scene": asdict(self.scene), "num_traces": self.num_traces}
        if type(self.variant) is not Variant:
            stamp["variant"] = {"of": type(self.variant).__qualname__, **asdict(self.variant)}
        if self.num_traces:
            stamp |= {"mix": asdict(self.mix), "teacher": asdict(self.teacher), "view": self.view}
            stamp["tool"] = _told(self.tool) if self.tool else None
        return json.loads(json.dumps(stamp))

    def _write(self, root: Path) -> None:
        photographs = _load_photographs(self.photographs) if self.photographs else []
        (root / "images").mkdir(parents=True, exist_ok=True)
        write_rl_jsonl(self._questions(root / "images", photographs), root / "train_RL.jsonl")
        for split, count in (("val", self.num_val), ("test", self.num_test)):
            self._write_benchmark(root / split, split, count, photographs)
        if self.num_traces:
            self._write_traces(root, photographs)

    def _scene_seed(self, split: str, index: int) -> int:
        return (self.seed * 10 + _SPLIT_SEEDS[split]) * 10_000_000 + index

    def _scenes(
        self, split: str, count: int, photographs: Sequence[Image.Image]
    ) -> Iterator[tuple[int, Scene]]:
        numbers = range(count)
        for i in tqdm(numbers, f"drawing {split}", unit="picture", leave=False, disable=None):
            seed = self._scene_seed(split, i)
            yield i, self.variant.draw(self.scene, seed=seed, split=split, photographs=photographs)

    def train_scene(self, index: int) -> Scene:
        """The scene of a training question, drawn once more; from 0."""
        photographs = _load_photographs(self.photographs) if self.photographs else []
        seed = self._scene_seed("train", index)
        return self.variant.draw(self.scene, seed=seed, split="train", photographs=photographs)

    def _ask(self, scene: Scene, split: str, index: int, image: str, id: str) -> TaskRecord:
        rng = random.Random(f"{self._scene_seed(split, index)}/question")
        asked = {"comparison_frac": self.comparison_frac, "id": id, "image": image}
        return self.variant.ask(scene, rng=rng, **asked)

    def _questions(self, folder: Path, photographs: Sequence[Image.Image]) -> Iterator[TaskRecord]:
        for i, scene in self._scenes("train", self.num_train, photographs):
            path = folder / f"task-{i:05d}.png"
            _save(scene.image, path)
            yield self._ask(scene, "train", i, str(path), f"train/{path.stem}")

    def _write_benchmark(
        self, folder: Path, split: str, count: int, photographs: Sequence[Image.Image]
    ) -> None:
        tasks, names = [], []
        for i, scene in self._scenes(split, count, photographs):
            task = self._ask(scene, split, i, "", "")
            path = folder / task.category / f"{split}-{i:05d}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            _save(scene.image, path)
            tasks.append(self._ask(scene, split, i, str(path), f"{task.category}/{path.stem}"))
            names.append([sign.name for sign in asked_signs(task, scene)])
        if all(task.options and task.category in CATEGORIES for task in tasks):
            write_vstar_folder(tasks, folder, target_objects=names)
        else:
            write_rl_jsonl(tasks, folder / _OPEN)

    def _write_traces(self, root: Path, photographs: Sequence[Image.Image]) -> None:
        if self.tool is None:
            raise ConfigError("data.num_traces needs data.tool: the zoom that the traces call")
        names_boxes = self.variant.names_boxes
        teacher = ScriptedTeacher(self.teacher, tool=self.tool, names_boxes=names_boxes)
        with (root / "train_signs.jsonl").open("w") as signs:
            scenes = self._scenes("traces", self.num_traces, photographs)
            write_sft(self._traces(root, scenes, teacher, signs), root / "train_SFT.jsonl")

    def _traces(
        self,
        root: Path,
        scenes: Iterator[tuple[int, Scene]],
        teacher: ScriptedTeacher,
        signs: TextIO,
    ) -> Iterator[TraceRecord]:
        for i, scene in scenes:
            path = root / "images" / f"trace-{i:05d}.png"
            _save(scene.image, path)
            print(_signs_line(path.name, scene.signs), file=signs)
            shown = Size(self.view, self.view)
            image = ImageView(FileImage(str(path)), scene_size(self.scene), shown)
            rng = random.Random(f"{self._scene_seed('traces', i)}/trace")
            task = self._ask(scene, "traces", i, image.path, f"trace/{i:05d}")
            yield self._trace(task, scene, image, teacher, rng)
            if self.mix.pointing:
                exercise = pointing_trace(
                    scene,
                    image,
                    rng,
                    id=f"pointing/{i:05d}",
                    names_boxes=self.variant.names_boxes,
                )
                yield replace(exercise, system=self.mix.single_look_system)

    def _trace(
        self,
        task: TaskRecord,
        scene: Scene,
        image: ImageView,
        teacher: ScriptedTeacher,
        rng: random.Random,
    ) -> TraceRecord:
        mix = self.mix
        shares = (mix.zoom, mix.single_look, mix.ungrounded)
        kind = rng.choices(("zoom", "single_look", "ungrounded"), shares)[0]
        if kind == "zoom":
            return replace(teacher.zoom_trace(task, scene, image, rng), system=mix.zoom_system)
        is_grounded = kind == "single_look"
        system = mix.single_look_system if is_grounded else mix.ungrounded_system
        trace = teacher.single_look_trace(task, scene, image, rng, grounded=is_grounded)
        return replace(trace, system=system)


def read_signs(path: str | Path) -> list[tuple[str, tuple[Sign, ...]]]:
    """What is drawn where: (picture file, its signs) per scene.

    Raises:
        DataError: The file is missing or a line is not one of ours.
    """
    path = Path(path)
    if not path.is_file():
        raise DataError("no such file; make the world with data.num_traces > 0", path=path)
    rows = []
    for number, line in enumerate(path.read_text().splitlines(), start=1):
        try:
            row = json.loads(line)
            signs = tuple(Sign(c, s, k, Point(x, y)) for c, s, k, x, y in row["signs"])
            rows.append((str(path.parent / "images" / row["image"]), signs))
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(f"not a line of signs: {error}", path=path, line=number) from error
    return rows


def _read_benchmark(folder: Path, *, scorer: Scorer) -> Sequence[TaskRecord]:
    """Of the kinds of question that were asked at all."""
    if (folder / _OPEN).is_file():
        return read_rl_jsonl(folder / _OPEN, scorer=scorer)
    present = tuple(category for category in CATEGORIES if (folder / category).is_dir())
    return read_vstar_folder(folder, categories=present) if present else []


def _signs_line(image: str, signs: Sequence[Sign]) -> str:
    rows = [[s.colour, s.shape, s.stripes, s.center.x, s.center.y] for s in signs]
    return json.dumps({"image": image, "signs": rows})


def _load_photographs(folder: str) -> list[Image.Image]:
    paths = sorted(
        p for p in Path(folder).rglob("*") if p.suffix.lower() in (".jpg", ".jpeg", ".png")
    )
    if not paths:
        raise ConfigError(f"data.photographs={folder!r} holds no .jpg or .png picture")
    return [open_image(path) for path in paths]


def _told(tool: Tool) -> dict[str, str]:
    """The settings of a tool; of those with a default, what was not left at it, so that a tool that
    learns more does not make worlds anew. Name and words have always been told.
    """
    defaults = vars(type(tool))
    return {
        key: str(value)
        for key, value in vars(tool).items()
        if key in ("name", "shown") or key not in defaults or value != defaults[key]
    }


def _save(image: Image.Image, path: Path) -> None:
    image.save(path, compress_level=1)
