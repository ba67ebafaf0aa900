"""Proxy tasks on disk, from a folder of pictures or from drawn scenes, read by the same reader as
questions of others.

    ROOT/tasks.json                  the settings that made them; other settings need another ROOT
    ROOT/{train,val,test}_RL.jsonl   questions                        (released RL format)
    ROOT/images/*.png                the pictures that they show

Each picture of the folder is in one of train, val and test alone, however many questions are asked
about it; each drawn scene is asked about once.
"""

from __future__ import annotations

import json
import logging
import random
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from PIL import Image

from vigorl.core.errors import ConfigError, DataError
from vigorl.core.files import written_whole
from vigorl.core.records import TaskRecord
from vigorl.data.images import open_image
from vigorl.data.proxies.proxy import Picture, Proxy
from vigorl.data.scenes.draw import Scene, SceneSettings, draw_scene
from vigorl.data.sources.files import read_lines
from vigorl.data.sources.rl_jsonl import read_rl_jsonl, write_rl_jsonl
from vigorl.data.splits import DataSplits

_LOG = logging.getLogger(__name__)
VERSION = 1  # raise it when questions or files change
SPLITS = ("train", "val", "test")
_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")


@dataclass(frozen=True, kw_only=True)
class ProxyTasks:
    """Makes the questions of a proxy task where they are missing; a `data.splits.DataSource`.

    Attributes:
        root: Where they are written.
        proxy: The task.
        pictures: A folder of photographs; None draws scenes of the made world, with captions.
        captions: JSONL of {"image": name in `pictures`, "caption": text}; its pictures alone are
            used.
        side_px: Longest side of what is asked about; larger photographs are shrunk to it.
        num_train, num_val, num_test: Questions.
        holdout_frac: Share of a folder's pictures that is held out for val, and again for test.
        scene: How scenes are drawn.
        seed: Of everything.
    """

    root: str
    proxy: Proxy
    pictures: str | None = None
    captions: str | None = None
    side_px: int = 448
    num_train: int = 2000
    num_val: int = 128
    num_test: int = 600
    holdout_frac: float = 0.2
    scene: SceneSettings = field(default_factory=SceneSettings)
    seed: int = 0

    def __post_init__(self) -> None:
        if self.captions and not self.pictures:
            raise ConfigError("data.captions says nothing of drawn scenes: set data.pictures too")
        if self.pictures and self.proxy.needs_captions and not self.captions:
            raise ConfigError("this proxy task is about captions: set data.captions")
        if not 0 < self.holdout_frac < 0.5:
            text = f"data.holdout_frac must be above 0 and below 0.5, got {self.holdout_frac}"
            raise ConfigError(text)

    def prepare(self) -> None:
        """Write what is missing; files of other settings in the same place are an error.

        Raises:
            ConfigError: `root` holds others, or `pictures` too few.
        """
        root, stamp = Path(self.root), self._stamp()
        file = root / "tasks.json"
        if file.is_file():
            if json.loads(file.read_bytes()) != stamp:
                text = "holds proxy tasks of other settings; choose another, or delete that folder"
                raise ConfigError(f"data.root={self.root} {text}")
            return
        (root / "images").mkdir(parents=True, exist_ok=True)
        files = self._files_by_split() if self.pictures else None
        for split in SPLITS:
            tasks = self._questions(split, files[split] if files else None, root / "images")
            write_rl_jsonl(tasks, root / f"{split}_RL.jsonl")
        with written_whole(file) as part:
            part.write_text(json.dumps(stamp, indent=1))

    def load(self) -> DataSplits:
        train, val, test = (
            read_rl_jsonl(Path(self.root) / f"{split}_RL.jsonl", scorer=self.proxy.scorer)
            for split in SPLITS
        )
        return DataSplits(train_tasks=train, val_tasks=val, test_tasks=test)

    def _stamp(self) -> dict[str, object]:
        own = {k: v for k, v in vars(self).items() if k not in ("root", "proxy", "scene")}
        of = {"of": type(self.proxy).__qualname__, **asdict(self.proxy)}  # pyright: ignore
        stamp = {**own, "version": VERSION, "proxy": of, "scene": asdict(self.scene)}
        return json.loads(json.dumps(stamp))

    def _files_by_split(self) -> dict[str, list[tuple[Path, str]]]:
        """(file, caption) of each split, by whole files; copies under other names are one."""
        found = self._captioned() if self.captions else self._all_files()
        unique = list({path.read_bytes(): (path, said) for path, said in found}.values())
        random.Random(f"{self.seed}/split").shuffle(unique)
        # a wrong answer needs another picture
        held = max(2, round(len(unique) * self.holdout_frac))
        if len(unique) < 2 * held + 2:
            raise ConfigError(
                f"data.pictures={self.pictures} has {len(unique)} different pictures; train, val "
                "and test need two or more each"
            )
        val, test, train = unique[:held], unique[held : 2 * held], unique[2 * held :]
        return {"train": train, "val": val, "test": test}

    def _all_files(self) -> list[tuple[Path, str]]:
        files = sorted(Path(str(self.pictures)).rglob("*"))
        return [(path, "") for path in files if path.suffix.lower() in _SUFFIXES]

    def _captioned(self) -> list[tuple[Path, str]]:
        rows = read_lines(str(self.captions), image_root=self.pictures)
        return [(Path(row.picture(row.text("image"))), row.text("caption")) for row in rows]

    def _questions(
        self, split: str, files: Sequence[tuple[Path, str]] | None, folder: Path
    ) -> Iterator[TaskRecord]:
        count, too_poor, why = getattr(self, f"num_{split}"), 0, ValueError()
        for i in range(count):
            rng = random.Random(f"{self.seed}/{split}/{i}")
            for _ in range(50):
                picture, others = self._some(files, rng)
                try:
                    question = self.proxy.ask(picture, others, rng=rng)
                    break
                except ValueError as error:
                    too_poor, why = too_poor + 1, error
            else:
                raise DataError(f"no {split} question can be made: {why}", path=self.pictures)
            names = []
            for number, image in enumerate(question.images):
                names.append(folder / f"{split}-{i:05d}-{number}.png")
                image.save(names[-1], compress_level=1)
            yield TaskRecord(
                id=f"{split}/{i:05d}",
                question=question.text,
                answer=question.answer,
                images=tuple(map(str, names)),
                scorer=self.proxy.scorer,
                options=question.options,
                targets=question.targets,
                category=type(self.proxy).__name__.lower(),
                tags=question.tags,
            )
        if too_poor:
            _LOG.warning("%s: %d tries were too small or said too little", split, too_poor)

    def _some(
        self, files: Sequence[tuple[Path, str]] | None, rng: random.Random
    ) -> tuple[Picture, list[Picture]]:
        """A picture of the split, and some others of it."""
        if files is None:
            seeds = [rng.getrandbits(48) for _ in range(2)]
            first, second = (of_scene(draw_scene(self.scene, seed=seed)) for seed in seeds)
            return first, [second]
        one, other = rng.sample(files, 2)
        return self._read(*one), [self._read(*other)]

    def _read(self, path: Path, caption: str) -> Picture:
        image: Image.Image = open_image(path)
        image.thumbnail((self.side_px, self.side_px), Image.Resampling.BICUBIC)
        return Picture(image, caption)


def of_scene(scene: Scene) -> Picture:
    """A drawn scene with its true caption, which names every sign, and the boxes of its signs."""
    width, height = scene.image.size
    said = [
        f"The {'top' if sign.center.y < height / 2 else 'bottom'} "
        f"{'left' if sign.center.x < width / 2 else 'right'} has a {sign.name}."
        for sign in scene.signs
    ]
    return Picture(scene.image, " ".join(said), tuple(sign.box for sign in scene.signs))
