"""Look at a data set before a run: `python -m vigorl.data inspect my_questions.csv`, or any other
source: `python -m vigorl.inspect_data data=released_files data.train_tasks=...`.

Takes what `vigorl.train` takes (`env`, `scale`, `data.question=COLUMN`). Prints counts, kinds of
answers, sizes, tokens of a picture, what is asked twice, what leaks between splits, and every row
that cannot be used, by file and line; leaves a page of questions as the policy will see them.
Exit code 0 without a problem, else 1. Left out: whether a policy can answer them (vigorl.evaluate).
"""

from __future__ import annotations

from vigorl.door import door, refuse_early

refuse_early(__name__, "train")  # before the imports below, which take seconds

import os
import random
import sys
from collections.abc import Mapping
from dataclasses import replace
from itertools import zip_longest
from pathlib import Path
from typing import Any

from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from vigorl.build import build_parts, check_settings, prepare_process
from vigorl.core.errors import DataError
from vigorl.core.records import TaskRecord
from vigorl.data.datasets import task_of
from vigorl.data.dry_pass import dry_pass
from vigorl.data.faults import noted
from vigorl.data.inspection import Inspection, inspect_splits
from vigorl.data.own_table import OwnTable
from vigorl.data.splits import DataSplits
from vigorl.diagnosis.sources import spoken_by, start_of
from vigorl.families.family import Family, TinySettings
from vigorl.families.lookup import family_called, family_named, family_of
from vigorl.models.tiny import make_tiny
from vigorl.pages.inspection import render_inspection_page
from vigorl.resolvers import ASSETS
from vigorl.rollout.environment import Environment

SHOWN = 12  # questions on the page
STAND_INS = (ASSETS / "tiny_start", ASSETS / "tiny_qwen3_start")
_SMALL: dict[str, Any] = {"hidden": 64, "layers": 4, "ffn": 64, "vision_hidden": 64}

prepare_process()


def inspect_data(cfg: DictConfig) -> tuple[Inspection, Path]:
    """Look, print, and write the page; what was found, and where the page is."""
    check_settings(cfg)
    asks, whose = asked_by(cfg)
    source = instantiate(cfg.data)
    source.prepare()
    with noted() as faults:
        splits = source.load()
        decoding = replace(splits.rules, decode_pictures=True)
        kept = {
            name: dry_pass(records, asks, rules=decoding)
            for name, records in splits.records.items()
        }
    splits = replace(splits, **kept) if not faults else _quietly(splits, kept)
    found = inspect_splits(splits, _different(faults), images=asks.images)
    told = [*_of_prompt(cfg, splits)]
    if isinstance(source, OwnTable) and not asks.prompt.options:
        told += _left_out(splits)
    found = replace(found, remarks=[*found.remarks, *told])
    print("\n".join(found.lines()))
    print(f"sizes and prompts are those of {whose}")
    named = str(cfg.data.get("path") or cfg.data.get("file") or cfg.data.get("root") or cfg.name)
    page = Path(cfg.paths.outputs) / "inspected" / f"{Path(named).name}.html"
    page.parent.mkdir(parents=True, exist_ok=True)
    text = render_inspection_page(
        found,
        samples_of(splits, num=SHOWN, seed=cfg.seed),
        prompt=asks.prompt,
        images=asks.images,
        title=named,
        columns=[
            *(source.told() if isinstance(source, OwnTable) else ()),
            f"sizes and prompts are those of {whose}",
        ],
    )
    page.write_text(text, encoding="utf-8")
    print(page)
    return found, page


def asked_by(cfg: DictConfig) -> tuple[Environment, str]:
    """What asks the questions, and whose tokens and sizes it has: those of the model, or where that
    is not here, of a tiny one of its family.
    """
    folder, name = start_of(cfg), str(cfg.model.path)
    if folder.is_dir():
        return build_parts(spoken_by(folder, cfg)).environment, name
    family = family_of_absent(cfg)
    stand_in = next(
        (shipped for shipped in STAND_INS if family_of(shipped) == family),
        Path(cfg.paths.outputs, "inspected", f"tiny_{family.model_types[0]}"),
    )
    if not stand_in.is_dir():
        settings = TinySettings(model_type=family.model_types[0], **_SMALL)
        part = stand_in.with_name(f"{stand_in.name}.{os.getpid()}.part")
        make_tiny(part, corpus=[name], settings=settings).rename(stand_in)
    words = f"{name}, which is not here: pictures are cut as of a tiny {family.name}"
    return build_parts(spoken_by(stand_in, cfg)).environment, words


def family_of_absent(cfg: DictConfig) -> Family:
    """Of a model that is not here: as its maker will have it, or as its name says."""
    if cfg.model.get("maker"):
        return family_named(cfg.tiny.model_type, where="tiny.model_type")
    return family_called(str(cfg.model.path)) or family_of(STAND_INS[0])


def samples_of(splits: DataSplits, *, num: int, seed: int) -> list[tuple[str, TaskRecord]]:
    """Questions to look at, from the splits by turns, each a random one."""
    rng = random.Random(seed)
    drawn: list[list[tuple[str, TaskRecord]]] = []
    for name, records in splits.records.items():
        few = rng.sample(list(records), min(num, len(records)))
        drawn.append([(name.replace("_tasks", ""), task_of(one)) for one in few])
    by_turns = [one for some in zip_longest(*drawn) for one in some if one is not None]
    return by_turns[:num]


def _quietly(splits: DataSplits, kept: Mapping[str, Any]) -> DataSplits:
    """What is left, although it leaks: that is noted already."""
    with noted():
        return replace(splits, **kept)


def _different(faults: list[DataError]) -> list[DataError]:
    """Each once; the dry pass finds again what the reader has found."""
    return list({str(fault): fault for fault in faults}.values())


def _of_prompt(cfg: DictConfig, splits: DataSplits) -> list[str]:
    """Where the prompt asks for something else than the answers are."""
    tasks = [task_of(one) for records in splits.records.values() for one in records]
    is_open = sum(not task.options for task in tasks)
    if is_open and OmegaConf.select(cfg, "env.prompt.answer") == "option":
        return [
            f"{is_open} of {len(tasks)} questions have no options, but the prompt asks for one: "
            "env=question_zoom asks for the answer's text"
        ]
    return []


def _left_out(splits: DataSplits) -> list[str]:
    """Where the policy does not see what it may choose from."""
    tasks = [task_of(one) for records in splits.records.values() for one in records]
    num = sum(bool(task.options) for task in tasks)
    if not num:
        return []
    return [
        f"{num} of {len(tasks)} questions have options, which the prompt does not show: "
        "brief_prompts=false does"
    ]


@door("train")
def main(cfg: DictConfig) -> None:
    found, _ = inspect_data(cfg)
    if found.problems:
        sys.exit(1)


if __name__ == "__main__":
    main()
