"""Dialogs of looks, told in one turn."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.builders import call_text, task, view
from tests.search_trees import node, tree
from vigorl.core.errors import ConfigError, DataError
from vigorl.core.geometry import Box
from vigorl.core.records import TraceRecord
from vigorl.core.search_tree import SearchRollout
from vigorl.core.trace import Step, ToolCall, Trace, render_answer_turn
from vigorl.rollout.tools.zoom_point import ZoomPoint
from vigorl.search.linearize import LinearizeSettings, TraceForm, linearize_trees
from vigorl.search.rounds import tell_in_rounds
from vigorl.search.searched import SearchedTask

CALL = ToolCall("search_coordinate", {"coordinate": [50, 20]})
RECORD = TraceRecord(task(), Trace((Step("A disc.", CALL), Step("It is red.")), "red"))
BOX = Box(100, 40, 201, 160)  # ORIGINAL; the picture is 448 x 448, seen at 112 x 112


def test_a_look_becomes_its_box_and_what_was_seen() -> None:
    told = tell_in_rounds(RECORD, [view(box=BOX)], image=view())
    assert told is not None
    (step,) = told.trace.steps
    assert step.think == "A disc. Region (25, 10), (51, 40). It is red."
    assert tell_in_rounds(RECORD, [view()], image=view()) is None
    assert tell_in_rounds(RECORD, [], image=view()) is None


def test_a_box_is_told_its_depth(tmp_path: Path) -> None:
    depth = np.zeros((112, 224), np.uint16)
    depth[10:40, 50:101] = 13107  # a fifth of 65535
    Image.fromarray(depth).save(tmp_path / "disc.png")
    told = tell_in_rounds(RECORD, [view(box=BOX)], image=view(), depth_root=str(tmp_path))
    assert told is not None
    assert "Region (25, 10), (51, 40), depth 0.20." in told.trace.steps[0].think
    with pytest.raises(DataError, match="is no depth map"):
        tell_in_rounds(RECORD, [view(box=BOX)], image=view(), depth_root=str(tmp_path / "no"))
    with pytest.raises(ConfigError, match="depth_root has no effect"):
        LinearizeSettings(depth_root="maps")


def test_trees_of_looks_are_told_so() -> None:
    answer = node(
        render_answer_turn("Red it is.", "red"),
        is_terminal=True,
        rollouts=(SearchRollout("red", 1.0, ()),),
    )
    look = node(call_text(50, 20), children=(answer,))
    found = linearize_trees(
        [SearchedTask(tree(look), task(), view())],
        tool=ZoomPoint(window_px=112, view_px=112),
        settings=LinearizeSettings(form=TraceForm.ROUNDS),
    )
    (record,) = found.records
    assert record.trace.steps[0].think == (
        "Something is at (50, 20). Region (36, 6), (64, 34). Red it is."
    )
