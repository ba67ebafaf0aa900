"""Made worlds of clips and of views on disk, in the real data sets' formats, so that they are read
by the same readers.

    ROOT/world.json                 the settings that made it; other settings need another ROOT
    ROOT/train_RL.jsonl             questions for rollouts, each about a video
    ROOT/train_SFT.jsonl            the teacher's solutions
    ROOT/val.jsonl, test.jsonl      held-out questions
    ROOT/clips/*.mp4                the videos, each of a scene of its own

A question names its video; which frames it shows is `frames` (`data.frames`). The tag "span" says
in which seconds the asked sign is shown close, "start end". Of views there are lists and pictures
in the place of videos (`data.clips.views`).
"""

from __future__ import annotations

import json
import random
from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path

from tqdm import tqdm

from vigorl.core.geometry import Size
from vigorl.core.records import TaskRecord, TraceRecord
from vigorl.data.clips.draw import Clip, ClipSettings, draw_clip, write_clip
from vigorl.data.clips.teacher import ClipTeacher, Footage
from vigorl.data.datasets import split_by_image
from vigorl.data.faults import Rules
from vigorl.data.frames import Even, Frames
from vigorl.data.scenes.questions import ask_attribute
from vigorl.data.scenes.written import WrittenWorld
from vigorl.data.sources.rl_jsonl import read_rl_jsonl, write_rl_jsonl
from vigorl.data.sources.sft_json import read_sft_json, write_sft
from vigorl.data.splits import DataSplits
from vigorl.data.video import VideoHeader

VERSION = 1  # raise it when the drawing, the questions or the files change
SPAN = "span"
CATEGORY = "clip"
_SPLIT_SEEDS = {"train": 1, "val": 2, "test": 3, "traces": 4}


@dataclass(frozen=True, kw_only=True)
class FilmedWorld(WrittenWorld):
    """Draws scenes in numbered pictures where they are missing and loads them; a
    `data.splits.DataSource`.

    Attributes:
        frames: Which frames a question shows.
        num_train, num_val, num_test: Questions, one per scene.
        num_traces: Scenes with a solution; 0 writes none.
        choosing_frac: Share of solutions that choose frames; the others answer from those shown.
        teacher: How hasty the teacher is.
        system: The system prompt of the solutions.
        seed: Of the world.
    """

    frames: Frames = field(default_factory=lambda: Even(count=2))
    num_train: int = 2000
    num_val: int = 256
    num_test: int = 500
    num_traces: int = 0
    choosing_frac: float = 1.0
    teacher: ClipTeacher = field(default_factory=ClipTeacher)
    system: str = ""
    seed: int = 0

    @abstractmethod
    def drawn(self, seed: int) -> Footage:
        """The scene of a seed."""

    @abstractmethod
    def _filmed(self, footage: Footage, folder: Path, id: str) -> TaskRecord:
        """The question about a scene, which is written below a folder; its id is SPLIT/NUMBER."""

    @abstractmethod
    def _settings(self) -> dict[str, object]:
        """Those of its drawing, for the stamp."""

    def load(self) -> DataSplits:
        root, rules = Path(self.root), Rules(frames=self.frames)
        traces = read_sft_json(root / "train_SFT.jsonl", rules=rules) if self.num_traces else []
        train, val = split_by_image(traces, holdout_frac=0.05) if traces else ([], [])
        read = partial(read_rl_jsonl, rules=rules)
        return DataSplits(
            train_tasks=read(root / "train_RL.jsonl"),
            val_tasks=read(root / "val.jsonl"),
            test_tasks=read(root / "test.jsonl"),
            train_traces=train,
            val_traces=val,
            rules=rules,
        )

    def clips(self, split: str, count: int) -> Iterator[tuple[int, Footage]]:
        """The first scenes of a split, drawn, with their numbers."""
        seed = (self.seed * 10 + _SPLIT_SEEDS[split]) * 10_000_000
        numbers = range(count)
        for i in tqdm(numbers, f"filming {split}", unit="clip", leave=False, disable=None):
            yield i, self.drawn(seed + i)

    def _stamp(self) -> dict[str, object]:
        numbers = {key: getattr(self, key) for key in ("num_train", "num_val", "num_test", "seed")}
        stamp = {"version": VERSION, **numbers, **self._settings()}
        stamp["num_traces"] = self.num_traces
        if self.num_traces:
            stamp |= {"teacher": _told(self.teacher), "system": self.system}
            stamp |= {"frames": asdict(self.frames), "choosing_frac": self.choosing_frac}
        return json.loads(json.dumps(stamp))

    def _write(self, root: Path) -> None:
        for split, name in (("train", "train_RL"), ("val", "val"), ("test", "test")):
            count = getattr(self, f"num_{split}")
            asked = (
                self._filmed(clip, root, f"{split}/{i:05d}") for i, clip in self.clips(split, count)
            )
            write_rl_jsonl(asked, root / f"{name}.jsonl")
        if self.num_traces:
            write_sft(self._traces(root), root / "train_SFT.jsonl")

    def _traces(self, root: Path) -> Iterator[TraceRecord]:
        for i, clip in self.clips("traces", self.num_traces):
            task = self._filmed(clip, root, f"traces/{i:05d}")
            rng = random.Random(f"{self.seed}/{task.id}")
            if rng.random() < self.choosing_frac:
                trace = self.teacher.choosing_trace(task, clip, rng)
            else:
                shown = self.frames.numbers(header_of(clip))
                trace = self.teacher.watching_trace(task, clip, shown, rng)
            yield replace(trace, system=self.system)


@dataclass(frozen=True, kw_only=True)
class MadeClips(FilmedWorld):
    """Scenes as videos.

    Attributes:
        clip: How hard they are.
    """

    clip: ClipSettings = field(default_factory=ClipSettings)

    def drawn(self, seed: int) -> Clip:
        return draw_clip(self.clip, seed=seed)

    def _settings(self) -> dict[str, object]:
        return {"clip": asdict(self.clip)}

    def _filmed(self, footage: Footage, folder: Path, id: str) -> TaskRecord:
        assert isinstance(footage, Clip)
        path = folder / "clips" / f"{id.replace('/', '-')}.mp4"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_clip(footage, path)
        return ask_clip(footage, id=id, video=str(path))


def ask_clip(clip: Clip, *, id: str, video: str) -> TaskRecord:
    """How the stripes of the sign with the near twin run."""
    task = ask_attribute(clip.scene, id=id, image=video)
    start, header = clip.starts[0], header_of(clip)
    span = (header.time_of(start), header.time_of(start + clip.settings.close_frames))
    tags = {SPAN: "{:g} {:g}".format(*span)}
    return replace(task, targets=(), category=CATEGORY, tags=tags)


def header_of(clip: Footage) -> VideoHeader:
    """What its file says of itself."""
    frames, size = clip.num_frames, Size(clip.side_px, clip.side_px)
    return VideoHeader(size, frames / clip.fps, clip.fps, frames)


def _told(teacher: ClipTeacher) -> dict[str, object]:
    """Its settings; worlds from before it had an argument keep their stamp."""
    told = asdict(teacher)
    return told if teacher.argument != "frames" else {k: told[k] for k in told if k != "argument"}
