"""Every benchmark YAML on its sample in the real form, laid out as the download is: what is read,
and that the task's own scorer tells a right answer from a wrong one.
"""

from __future__ import annotations

import json
import os
import shutil
from base64 import b64encode
from pathlib import Path
from statistics import fmean

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate

from vigorl.build import CONFIGS
from vigorl.core.media import FileImage, ImageView
from vigorl.core.records import TaskRecord
from vigorl.core.scoring.boxes import BoxesOverlap
from vigorl.core.scoring.point import PointInBox
from vigorl.core.scoring.polygon import PointInPolygon
from vigorl.data.images import read_size

SAMPLES = Path(__file__).resolve().parents[5] / "shared" / "data" / "benchmarks"
IN_EPISODES = "visualwebarena"  # judged by the state that it leaves, not by an answer's text
BENCHMARKS = sorted(
    path.stem
    for path in Path(CONFIGS, "benchmark").glob("*.yaml")
    if not path.stem.startswith("_") and "\ndata:\n  _target_:" in path.read_text()
    if path.stem != IN_EPISODES
)
ICAL = "VisualWebArena/learned_examples"
# benchmark -> its sample, and where its files lie in the download where that is elsewhere
LAYOUT: dict[str, tuple[str, dict[str, str]]] = {
    "mathvision": ("mathvision", {"data/testmini-made.parquet": "data/test-made.parquet"}),
    "mathvision_mini": ("mathvision", {".": "."}),
    "wemath": ("wemath", {"testmini.made.json": "data/testmini.json", "1.png": "data/1.png"}),
    "pope": ("pope", {"lmms/data": "data"}),
    "robospatial": ("robospatial_home", {".": "."}),
    "sat2": ("sat/vigorl", {".": "."}),
    "screenspot_pro_lr": ("screenspot_pro", {".": "."}),
    "hrbench_4k": ("hrbench", {".": "."}),
    "hrbench_8k": ("hrbench", {"hr_bench_4k.tsv": "hr_bench_8k.tsv"}),
    "mme_realworld": ("mme_realworld", {"lmms/data": "data"}),
    "mme_realworld_cn": (
        "mme_realworld",
        {"vlmevalkit/mme_realworld_lite.tsv": "mme_realworld_cn.tsv"},
    ),
    "mme_realworld_lite": ("mme_realworld", {"lmms/data": "data"}),
    "reasonmap": ("reasonmap", {"stations": "stations", "maps": "maps"}),  # and `_routes_table`
    "reasonmap_plus": ("reasonmap", {".": "."}),
    "visualprobe_easy": ("visualprobe", {".": "."}),
    "visualprobe_hard": ("visualprobe", {".": "."}),
    "visualprobe_medium": ("visualprobe", {".": "."}),
    "web_action": (
        "vigorl_web_action",
        {
            "web_action_rl_made.jsonl": "web_action/vigorl_ical_val_RL.jsonl",
            "web_action/images": "web_action/images",
        },
    ),
    "ical": (
        "ical",
        {
            f"{ICAL[15:]}/merged_classifieds_shopping_reddit_V2/images": (
                f"{ICAL}/merged_classifieds_shopping_reddit_V2/images"
            ),
            "planning_examples.excerpt.json": (
                f"{ICAL}/merged_classifieds_shopping_reddit_V2/planning_examples.json"
            ),
        },
    ),
}
OVERRIDES = {"wemath": ["data.file=data/testmini.json"]}  # the Parquet form has no sample
TASKS = {
    "blink": 2, "gqa": 1, "ical": 1, "mathverse": 1, "mathvision": 1, "mathvision_mini": 1,
    "mathvista": 2, "mmmu": 2, "pope": 1, "robospatial": 3, "sat": 4, "sat2": 2,
    "screenspot_pro": 1, "screenspot_pro_lr": 1, "screenspot_v2": 2, "treebench": 1, "vstar": 2,
    "web_action": 2, "wemath": 3, "ai2d": 1, "cv_bench": 2, "hrbench_4k": 8, "hrbench_8k": 8,
    "mme_realworld": 1, "mme_realworld_cn": 1, "mme_realworld_lite": 1, "mmvp": 2,
    "realworldqa": 2, "reasonmap": 2, "reasonmap_plus": 2, "visualprobe_easy": 1,
    "visualprobe_hard": 1, "visualprobe_medium": 1, "zoombench": 3,
}  # fmt: skip


def laid_out(name: str, root: Path) -> Path:
    """The sample as the download lies on a user's disk; folders are made here, since pictures of
    tables are put beside them.
    """
    sample, moves = LAYOUT.get(name, (name, {".": "."}))
    if not (SAMPLES / sample).exists():
        pytest.skip(f"no sample of {name} here: {SAMPLES / sample}")
    for source, place in moves.items():
        found, put = SAMPLES / sample / source, root / place
        put.parent.mkdir(parents=True, exist_ok=True)
        if found.is_dir():
            shutil.copytree(found, put, copy_function=os.symlink, dirs_exist_ok=True)
        else:
            put.symlink_to(found)
    if name == "reasonmap":
        _routes_table(root)
    return root


def _routes_table(root: Path) -> None:
    """ReasonMap's own rows have no sample, but the lists of stops that stand in them have."""
    ask = "How do I get from Opera Station to Astoria Station?"
    legs = [("M1", "Opera", "Deák Ferenc tér"), ("M2", "Deák Ferenc tér", "Astoria")]
    keys = ("route_name", "departure_stop", "arrival_stop")
    row = {
        "country": "hungary", "city": "budapest", "difficulty_city": "easy",
        "difficulty_question": "middle", "station_1": "Opera Station",
        "station_2": "Astoria Station", "question_short": ask,
        "question_long": f"{ask} Give the number of via stops.",
        "json": json.loads((root / "stations/budapest.json").read_text()),
        "routes": {"route_1": [dict(zip(keys, leg, strict=True)) for leg in legs]},
        "figure": b64encode((root / "maps/madeland/madeville.png").read_bytes()).decode(),
    }  # fmt: skip
    pq.write_table(pa.Table.from_pylist([row]), root / "validation.parquet")


@pytest.mark.parametrize("name", BENCHMARKS)
def test_a_sample_is_read_and_judged(name: str, tmp_path: Path) -> None:
    root = laid_out(name, tmp_path)
    with initialize_config_dir(CONFIGS, version_base="1.3"):
        cfg = compose(
            "evaluate",
            [f"benchmark={name}", f"data.root={root}", "model.path=x", *OVERRIDES.get(name, [])],
        )
    benchmark = instantiate(cfg.data)
    benchmark.prepare()
    tasks = benchmark.load().test_tasks
    assert len(tasks) == TASKS.get(name, len(tasks)) > 0
    assert len({task.id for task in tasks}) == len(tasks)
    for task in tasks:
        view = view_of(task)
        assert task.is_right(right_answer(task, view), view=view), task
        assert task.score(wrong_answer(task), view=view) == 0.0, task


def view_of(task: TaskRecord) -> ImageView:
    size = read_size(task.images[0])
    return ImageView(FileImage(task.images[0]), size, size)


def right_answer(task: TaskRecord, view: ImageView) -> str:
    if isinstance(task.scorer, PointInPolygon):
        corners, size = task.scorer.corners, view.original
        x, y = fmean(one.x for one in corners), fmean(one.y for one in corners)
        return f"({x * size.width:.0f}, {y * size.height:.0f})"
    if isinstance(task.scorer, PointInBox):
        center = view.to_text(task.scorer.boxes[0].center)
        return f"({center.x}, {center.y})"
    if isinstance(task.scorer, BoxesOverlap):
        return str([list(box.as_tuple()) for box in task.targets])
    return task.answer


def wrong_answer(task: TaskRecord) -> str:
    if task.scorer.is_place:
        return "(0, 0)"
    return next((one for one in task.options if one != task.answer), "nothing of the kind")
