"""Every proxy task is the same for the same seed, survives its files, and its answer is right by
the picture alone; from drawn scenes and, where they are, from photographs.
"""

from __future__ import annotations

import json
import random
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hydra.utils import instantiate
from omegaconf import DictConfig
from PIL import Image, ImageChops

from tests.builders import task
from tests.test_configs import compose_door, options
from vigorl.core.errors import ConfigError, DataError
from vigorl.core.records import TaskRecord
from vigorl.core.scoring import SpanMatch
from vigorl.data.images import open_image
from vigorl.data.proxies.masked import GREY, Masked
from vigorl.data.proxies.proxy import Picture
from vigorl.data.proxies.ssl4rl import QUARTERS, Jigsaw, Position
from vigorl.data.proxies.tasks import ProxyTasks
from vigorl.data.proxies.vicrit import FalseSpan
from vigorl.data.proxies.views import MOVES, OPPOSITE, TURNS, Views

PHOTOGRAPHS = Path(__file__).parents[5] / "shared/data/vstar_mini"
PROXIES = [name for name in options("data") if name.startswith("proxy_")]
FEW = {"num_train": 2, "num_val": 2, "num_test": 2}


@cache
def _data(name: str) -> DictConfig:
    return compose_door("train", f"data={name}").data


def _tasks(name: str, root: Path, **settings: object) -> ProxyTasks:
    made: ProxyTasks = instantiate(_data(name))
    scene = replace(made.scene, num_clutter=0)
    return replace(made, root=str(root), scene=scene, **(FEW | settings))


def _load(source: ProxyTasks) -> list[TaskRecord]:
    source.prepare()
    splits = source.load()
    found = [*splits.train_tasks, *splits.val_tasks, *splits.test_tasks]
    assert len(found) == 6
    return found


def _files(root: Path) -> dict[str, bytes]:
    return {str(p.relative_to(root)): p.read_bytes() for p in root.rglob("*") if p.is_file()}


@pytest.mark.parametrize("name", PROXIES)
def test_a_proxy_task_is_made_once_from_its_seed(name: str, tmp_path: Path) -> None:
    source = _tasks(name, tmp_path / "a")
    for record in _load(source):
        assert record.score(record.answer) == 1.0
        assert record.category == type(source.proxy).__name__.lower()
        _check(record)
    _load(replace(source, root=str(tmp_path / "b")))
    first = _files(tmp_path / "a")
    assert first == _files(tmp_path / "b")
    _load(source)
    assert first == _files(tmp_path / "a")
    with pytest.raises(ConfigError, match=r"data\.root=.*other settings"):
        replace(source, seed=1).prepare()


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Quarters of real photographs."""
    found = sorted(PHOTOGRAPHS.rglob("*.jpg"))
    if not found:
        pytest.skip(f"no photographs in {PHOTOGRAPHS}")
    folder = tmp_path_factory.mktemp("pictures")
    for i, path in enumerate(found[:5]):
        image = open_image(path)
        image.thumbnail((300, 300))
        width, height = image.width // 2, image.height // 2
        for left, top in ((0, 0), (width, 0), (0, height), (width, height)):
            quarter = image.crop((left, top, left + width, top + height))
            quarter.save(folder / f"{i}-{left}-{top}.png")
    return folder


@pytest.mark.parametrize("name", PROXIES)
def test_photographs_are_split_by_whole_files(name: str, pictures: Path, tmp_path: Path) -> None:
    captions = None
    if name == "proxy_vicrit":
        captions = str(tmp_path / "captions.jsonl")
        rows = [
            json.dumps({"image": p.name, "caption": "A red thing is on the left side."})
            for p in sorted(pictures.iterdir())
        ]
        Path(captions).write_text("\n".join(rows))
    for record in _load(_tasks(name, tmp_path / "p", pictures=str(pictures), captions=captions)):
        assert record.score(record.answer) == 1.0
        _check(record)


def _check(record: TaskRecord) -> None:
    """What the answer says is so."""
    shown = [open_image(path) for path in record.images]
    if record.category == "position":
        (box,) = record.targets
        assert not ImageChops.difference(shown[0].crop(_ints(box.as_tuple())), shown[1]).getbbox()
        is_right, is_low = (box.center.x > shown[0].width / 2, box.center.y > shown[0].height / 2)
        assert record.answer == QUARTERS[2 * is_low + is_right]
    elif record.category == "rotation":
        turned = shown[0].rotate(int(record.answer), expand=True)  # counter-clockwise
        assert not ImageChops.difference(turned, shown[1]).getbbox()
    elif record.category == "jigsaw":
        assert sorted(record.answer.split("; ")) == ["1", "2", "3", "4"]
    elif record.category == "masked":
        (box,) = record.targets
        assert shown[0].getpixel((int(box.left) + 1, int(box.top) + 1)) == GREY
        assert len({one.tobytes() for one in shown[1:]}) == 4
    elif record.category == "views":
        first, second = (np.asarray(one) for one in shown)
        if record.tags["kind"] == "turn":
            assert first.shape == second.shape
            assert not np.array_equal(first, second)
            return
        moved = record.answer
        dx, dy = MOVES[moved if record.tags["kind"] == "camera" else OPPOSITE[moved]]
        if dx < 0 or dy < 0:
            first, second = second, first
        if dy:
            first, second = first.swapaxes(0, 1), second.swapaxes(0, 1)
        steps = range(1, first.shape[1] // 2)
        assert any(np.array_equal(first[:, step:], second[:, :-step]) for step in steps)
    elif record.category == "falsespan":
        assert record.answer in record.question
        assert record.tags["true"] not in record.answer


def _ints(values: tuple[float, ...]) -> tuple[int, int, int, int]:
    left, top, right, bottom = map(int, values)
    return left, top, right, bottom


def test_the_right_patch_is_the_covered_one() -> None:
    noise = np.random.default_rng(0).integers(0, 255, (60, 80, 3), dtype=np.uint8)
    picture = Picture(Image.fromarray(noise))
    asked = Masked().ask(picture, [picture], rng=random.Random(1))
    hidden = _ints(asked.targets[0].as_tuple())
    right = asked.images[int(asked.answer)]
    assert right.tobytes() == picture.image.crop(hidden).tobytes()


def test_a_camera_that_turns_sees_things_turn_the_other_way() -> None:
    bar = Image.new("RGB", (200, 200))
    bar.paste((255, 255, 255), (98, 20, 102, 100))  # upright, above the middle
    picture = Picture(bar)
    asked = next(
        one
        for seed in range(20)
        if (one := Views().ask(picture, [picture], rng=random.Random(seed))).options == tuple(TURNS)
    )
    columns = np.asarray(asked.images[1].convert("L"))[:40].sum(0)
    middle = float((columns * np.arange(len(columns))).sum() / columns.sum())
    assert (middle < len(columns) / 2) == (asked.answer == "clockwise")


def test_tiles_in_the_order_of_the_answer_are_the_picture() -> None:
    noise = np.random.default_rng(0).integers(0, 255, (60, 80, 3), dtype=np.uint8)
    picture = Picture(Image.fromarray(noise))
    asked = Jigsaw().ask(picture, [picture], rng=random.Random(3))
    tiles = [asked.images[0].crop((40 * (i % 2), 30 * (i // 2), 40 * (i % 2) + 40,
                                   30 * (i // 2) + 30)) for i in range(4)]  # fmt: skip
    whole = Image.new("RGB", (80, 60))
    for place, number in enumerate(asked.answer.split("; ")):
        whole.paste(tiles[int(number) - 1], (40 * (place % 2), 30 * (place // 2)))
    assert whole.tobytes() == picture.image.tobytes()


@pytest.mark.parametrize(
    ("answer", "score"),
    [
        ("green", 1.0),
        ("The false word is: Green.", 0.0),
        ("a green disc", 1.0),  # as it stands in the caption
        ("green disc a", 0.0),
        ("disc", 0.0),
        ("Here stands a green disc, left of", 0.0),  # six words more
        ("", 0.0),
        (None, 0.0),
    ],
)
def test_a_false_span_counts_with_a_few_words_beside_it(answer: str | None, score: float) -> None:
    caption = "One word is false: Here stands a green disc, left of a pink one. Which?"
    asked = task(question=caption, answer="green", options=())
    assert SpanMatch(max_extra=3).score(answer, asked) == score


@pytest.mark.parametrize(
    ("make", "error", "named"),
    [
        (lambda: Position(crop_frac=(0.9, 0.2)), ConfigError, "crop_frac"),
        (lambda: Masked(side_frac=0.5), ConfigError, "side_frac"),
        (lambda: FalseSpan(swaps={"red": ["Red"]}), ConfigError, "swaps of 'red'"),
        (lambda: Views(shift_frac=(0.1, 0.4)), ConfigError, "shift_frac must be two numbers"),
        (lambda: ProxyTasks(root="x", proxy=Masked(), captions="c"), ConfigError, "captions"),
        (lambda: ProxyTasks(root="x", proxy=FalseSpan(), pictures="p"), ConfigError, "captions"),
        (lambda: ProxyTasks(root="x", proxy=Masked(), holdout_frac=0.5), ConfigError, "holdout"),
    ],
)
def test_wrong_settings_are_named(make: object, error: type[Exception], named: str) -> None:
    with pytest.raises(error, match=named):
        make()  # pyright: ignore[reportCallIssue]


def test_too_few_pictures_and_captions_that_say_nothing_are_named(tmp_path: Path) -> None:
    pictures = tmp_path / "few"
    pictures.mkdir()
    with pytest.raises(ConfigError, match="has 0 different pictures"):
        _tasks("proxy_rotation", tmp_path / "a", pictures=str(pictures)).prepare()
    mute = replace(_tasks("proxy_vicrit", tmp_path / "b"), proxy=FalseSpan(swaps={"x": ["y"]}))
    with pytest.raises(DataError, match=r"no word of data\.proxy\.swaps"):
        mute.prepare()
