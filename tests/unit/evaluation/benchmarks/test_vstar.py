"""V*Bench in both released forms."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from vigorl.core.errors import ConfigError
from vigorl.evaluation.benchmarks.benchmark import cluster_of
from vigorl.evaluation.benchmarks.vstar import VStarBench


def bench(root: Path, **fields: Any) -> VStarBench:
    return VStarBench(name="vstar", download="", root=str(root), **fields)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    lines = []
    for category in ("direct_attributes", "relative_position", "OCR"):
        folder = tmp_path / category
        folder.mkdir()
        Image.new("RGB", (64, 48)).save(folder / "sa_1.jpg")
        row = {"target_object": ["cup"], "bbox": [[10, 10, 20, 20]], "question": "What?",
               "options": ["right", "wrong"]}  # fmt: skip
        (folder / "sa_1.json").write_text(json.dumps(row))
        text = "What?\n(A) wrong\n(B) right\nAnswer with the option's letter."
        lines.append({"image": f"{category}/sa_1.jpg", "text": text, "category": category,
                      "label": "B", "question_id": len(lines)})  # fmt: skip
    (tmp_path / "test_questions.jsonl").write_text("\n".join(map(json.dumps, lines)))
    return tmp_path


def test_folders_have_boxes_and_only_the_papers_categories(root: Path):
    tasks = bench(root).tasks()
    assert [task.category for task in tasks] == ["direct_attributes", "relative_position"]
    assert all(task.targets and task.is_right("right") for task in tasks)
    assert len({cluster_of(task) for task in tasks}) == 2  # same names, other folders


def test_the_order_of_options_is_of_its_seed(tmp_path: Path, root: Path):
    orders = {
        tuple(
            task.options
            for task in VStarBench(
                name="vstar", download="", root=str(root), option_seed=seed
            ).tasks()
        )
        for seed in range(8)
    }
    assert len(orders) > 1


def test_an_unknown_form_is_refused(root: Path):
    with pytest.raises(ConfigError, match=r"data\.form must be"):
        bench(root, form="xlsx")


def test_questions_keep_the_authors_order(root: Path):
    tasks = bench(root, form="questions").tasks()
    assert [task.category for task in tasks] == ["direct_attributes", "relative_position"]
    assert all(task.options == ("wrong", "right") and task.is_right("B") for task in tasks)
