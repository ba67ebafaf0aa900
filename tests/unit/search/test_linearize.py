"""Search trees as traces: what is told, in which order, what is removed, and what is picked.

The picture is the builders' one: 448x448, seen by the teacher at 112x112; right is "red".
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from transformers import Qwen2VLImageProcessorPil

from tests.builders import call_text, task, view
from vigorl.core.errors import ConfigError
from vigorl.core.geometry import Box, Point, Size
from vigorl.core.media import FileImage, ImageView, Region, Stored, TextFrame
from vigorl.core.protocols import Observation, Scene, StatelessTool, ToolSpec
from vigorl.core.records import TraceRecord
from vigorl.core.scoring import ActionMatch, PointInBox
from vigorl.core.search_tree import SearchNode, SearchRollout, SearchTreeRecord
from vigorl.core.trace import (
    FINAL_THOUGHT,
    TURN_AROUND,
    Step,
    ToolCall,
    Trace,
    find_points,
    render_answer_turn,
)
from vigorl.data.images import ImageStore
from vigorl.data.sources.mcts_jsonl import read_mcts_jsonl, tree_task
from vigorl.data.sources.sft_json import read_sft_json, write_sft
from vigorl.families.qwen_vl import Qwen25VL
from vigorl.rollout.tools.zoom_point import ZoomPoint
from vigorl.search import linearize
from vigorl.search.chains import TreeForm, tree_form
from vigorl.search.filters import (
    Draft,
    FilterSettings,
    Removal,
    SolvedTrace,
    filter_drafts,
)
from vigorl.search.linearize import (
    Linearized,
    LinearizeSettings,
    TraceForm,
    draft_chains,
    linearize_trees,
)
from vigorl.search.looks import split_looks, split_sentences
from vigorl.search.picking import PickSettings, pick_traces
from vigorl.search.searched import SearchedTask

TOOL = ZoomPoint(window_px=112, view_px=56)
SINGLE = LinearizeSettings(form=TraceForm.SINGLE_TURN)
MULTI = LinearizeSettings(move_first_frac=0.0)
TASK = task()
END = Step(FINAL_THOUGHT)


def right(*texts: str, answer: str | None = "red") -> SearchRollout:
    return SearchRollout(answer, 1.0, texts)


def wrong(*texts: str, answer: str | None = "blue") -> SearchRollout:
    return SearchRollout(answer, 0.0, texts)


def node(text: str, *rollouts: SearchRollout, **fields: Any) -> SearchNode:
    defaults: dict[str, Any] = {"is_terminal": False, "value": 0.5, "num_visits": 1}
    return SearchNode(text=text, rollouts=rollouts, **(defaults | fields))


def searched(*children: SearchNode, rollouts: tuple[SearchRollout, ...] = ()) -> SearchedTask:
    """A tree with these nodes below its root."""
    root = node("What colour is the disc?", *rollouts, children=children)
    tree = SearchTreeRecord("disc", root.text, "red", "disc.png", root)
    return SearchedTask(tree, TASK, view())


def look(think: str, x: int, y: int) -> Step:
    return Step(think, ToolCall("search_coordinate", {"coordinate": [x, y]}))


def single(one: SearchedTask) -> list[Trace | None]:
    return [draft.trace for draft in draft_chains(one, settings=SINGLE)]


def dialogs(one: SearchedTask, settings: LinearizeSettings = MULTI) -> list[Trace | None]:
    return [draft.trace for draft in draft_chains(one, tool=TOOL, settings=settings)]


def trace(*steps: Step, answer: str = "red") -> Trace:
    return Trace(steps, answer)


def thoughts(draft: Draft) -> str:
    assert draft.trace is not None
    return draft.trace.steps[0].think


# Chains


def test_a_direct_chain_leaves_the_question_out_and_joins_path_and_rollout() -> None:
    one = searched(node("A disc at (50, 20).", children=(node("Near it.", right("It is red.")),)))
    assert single(one) == [trace(Step("A disc at (50, 20). Near it. It is red."))]


def test_a_corrected_chain_tells_the_shared_prefix_once() -> None:
    one = searched(
        node(
            "Shared (50, 20).",
            wrong("Astray (9, 9).", "<answer> blue </answer>"),
            right("<think> Found (40, 30). </think>", "<answer> red </answer>"),
        )
    )
    assert single(one) == [
        trace(Step("Shared (50, 20). Found (40, 30).")),
        trace(Step(f"Shared (50, 20). Astray (9, 9). {TURN_AROUND} Found (40, 30).")),
    ]
    assert [d.is_corrected for d in draft_chains(one, settings=SINGLE)] == [False, True]


@pytest.mark.parametrize(
    ("bad", "good"),
    [
        (wrong("<answer> blue </answer>"), right("Found.")),  # nothing said before the turn-around
        (wrong("blue"), right("Found.")),  # the released spelling of the same
        (wrong("Astray."), right("red")),  # nothing said after it
        (wrong("Astray.", answer="RED"), right("Found.")),  # not wrong by our own judge
    ],
)
def test_no_corrected_chain_without_a_wrong_try_and_a_right_one(
    bad: SearchRollout, good: SearchRollout
) -> None:
    one = searched(node("Shared.", bad, good))
    assert [draft.is_corrected for draft in draft_chains(one, settings=SINGLE)] == [False]


def test_two_wrong_and_two_right_tries_make_two_direct_and_four_corrected_chains() -> None:
    tries = (wrong("W1."), wrong("W2."), right("R1."), right("R2."))
    drafts = draft_chains(searched(node("S.", *tries)), settings=SINGLE)
    assert [draft.is_corrected for draft in drafts] == [False] * 2 + [True] * 4
    assert drafts[3].trace == trace(Step(f"S. W1. {TURN_AROUND} R2."))


@pytest.mark.parametrize(
    "leaf",
    [
        node("red", right(), is_terminal=True),  # as released: the text is the bare answer
        node("red", is_terminal=True),  # its rollout is missing
        node("<think> So. </think> <answer> red </answer>", right(), is_terminal=True),
        node("<answer> red </answer>", is_terminal=True),
    ],
)
def test_a_terminal_node_answers(leaf: SearchNode) -> None:
    told = "At (50, 20). So." if "So" in leaf.text else "At (50, 20)."
    assert single(searched(node("At (50, 20).", children=(leaf,)))) == [trace(Step(told))]


@pytest.mark.parametrize("text", ["blue", "<answer> blue </answer>", "I think that it is red."])
def test_a_terminal_node_without_a_rollout_and_a_right_answer_gives_nothing(text: str) -> None:
    leaf = node(text, is_terminal=True)
    assert single(searched(node("At (50, 20).", children=(leaf,)))) == []


def test_a_thought_that_never_went_on_is_no_answer() -> None:
    assert single(searched(node("At (50, 20).", children=(node("red"),)))) == []


def test_the_answer_is_read_from_the_text_where_the_rollout_has_none() -> None:
    one = searched(node("S.", right("<think> x </think> <answer> red </answer>", answer=None)))
    assert single(one) == [trace(Step("S. x"))]


# Looks


def test_every_new_point_is_a_look_and_what_follows_the_last_is_the_final_thought() -> None:
    thoughts = (
        "I start. The disc is near (50, 20), in the corner. It is small.",
        "Again (50, 20) is small. A cube stands at (80, 30).",
        "So the disc is red.",
    )
    (told,) = dialogs(searched(node(thoughts[0], right(*thoughts[1:]))))
    assert told == trace(
        look("I start. The disc is near (50, 20), in the corner.", 50, 20),
        look("It is small. Again (50, 20) is small. A cube stands at (80, 30).", 80, 30),
        Step("So the disc is red."),
    )


def test_two_new_points_in_one_sentence_share_it_between_two_looks() -> None:
    looks, rest = split_looks(
        split_sentences("From (5, 2), then to (7, 3). End."), on=Size(9, 9), max_looks=5
    )
    assert looks == [("From (5, 2),", Point(5, 2)), ("then to (7, 3).", Point(7, 3))]
    assert rest == "End."


def test_points_beyond_max_looks_stay_words_of_the_final_thought() -> None:
    looks, rest = split_looks(
        split_sentences("At (5, 2) or (7, 3). Or (1, 1)!"), on=Size(9, 9), max_looks=1
    )
    assert looks == [("At (5, 2) or (7, 3).", Point(5, 2))]
    assert rest == "Or (1, 1)!"


def test_a_dialog_that_ends_in_a_look_closes_with_the_fixed_thought() -> None:
    (told,) = dialogs(searched(node("At (50, 20).", right("red"))))
    assert told == trace(look("At (50, 20).", 50, 20), END)


@pytest.mark.parametrize(
    "last", ["(48, 21)", "<answer> (48, 21) </answer>", "<answer>(48,21)</answer>"]
)
def test_a_coordinate_answer_is_not_one_more_look(last: str) -> None:
    asked = task(scorer=PointInBox(Box(190, 70, 210, 90)), options=())
    one = searched(node("At (50, 20).", right("There.", last, answer="(48, 21)")))
    one = replace(one, task=asked)
    (told,) = dialogs(one)
    assert told == trace(look("At (50, 20).", 50, 20), Step("There."), answer="(48, 21)")
    (record,) = linearize_trees([one], tool=TOOL, settings=MULTI).records
    assert record.trace.answer == "(48, 21)"  # (192, 84) in the file: inside the box


def test_the_first_look_moves_to_a_later_place_when_asked_and_only_with_two_looks() -> None:
    always = LinearizeSettings(move_first_frac=1.0)
    (told,) = dialogs(searched(node("A (1, 1).", right("B (2, 2)."))), always)
    assert told == trace(look("B (2, 2).", 2, 2), look("A (1, 1).", 1, 1), END)
    one_look = searched(node("A (1, 1).", right("B.")))
    assert dialogs(one_look, always) == dialogs(one_look)


def test_the_first_look_moves_in_about_the_share_that_is_asked_for() -> None:
    settings = LinearizeSettings(move_first_frac=0.2)
    moved = 0
    for index in range(300):
        told = dialogs(searched(node(f"A{index} (1, 1).", right("B (2, 2)."))), settings)
        moved += told == [trace(look("B (2, 2).", 2, 2), look(f"A{index} (1, 1).", 1, 1), END)]
    assert 39 <= moved <= 81  # 60 expected, three standard deviations of 6.9


# Trees of whole turns


def test_a_tree_of_turns_is_a_dialog_already() -> None:
    path = call_text(50, 20, think="Near (50, 20).")
    end = render_answer_turn("It is red.", "red")
    one = searched(node(path, right(end)), node("leaf", children=(node(end, is_terminal=True),)))
    assert tree_form(one.tree) is TreeForm.TURNS
    expected = trace(look("Near (50, 20).", 50, 20), Step("It is red."))
    assert dialogs(one)[0] == expected
    with pytest.raises(ConfigError, match="form=single_turn, but the tree of disc calls tools"):
        draft_chains(one, settings=SINGLE)


def test_one_tool_call_in_a_rollout_makes_it_a_tree_of_turns() -> None:
    texts = (call_text(50, 20), render_answer_turn("It is red.", "red"))
    assert tree_form(searched(rollouts=(right(*texts),)).tree) is TreeForm.TURNS
    assert tree_form(searched(rollouts=(right(texts[1]),)).tree) is TreeForm.THOUGHTS


def test_a_corrected_dialog_drops_the_wrong_answer_and_turns_around_in_the_next_thought() -> None:
    one = searched(
        node(
            call_text(50, 20, think="Shared."),
            wrong(call_text(9, 9, think="Astray."), render_answer_turn("Blue, then.", "blue")),
            right(call_text(40, 30, think="Found."), render_answer_turn("It is red.", "red")),
        )
    )
    assert dialogs(one)[1] == trace(
        look("Shared.", 50, 20),
        look("Astray.", 9, 9),
        look(f"{TURN_AROUND} Found.", 40, 30),
        Step("It is red."),
    )


def test_a_wrong_try_that_answered_at_once_leaves_no_dialog_to_correct() -> None:
    end = render_answer_turn("It is.", "red")
    bad = wrong(render_answer_turn("Blue.", "blue"))
    one = searched(node(call_text(50, 20), bad, right(end)))
    assert dialogs(one) == [trace(look("Something is at (50, 20).", 50, 20), Step("It is."))]


def test_a_stray_call_in_a_rollout_leaves_a_tree_of_thoughts_what_it_is() -> None:
    stray = right("See.", call_text(50, 20), "<answer> red </answer>")
    one = searched(node("A disc at (50, 20).", stray, right("It is red.")))
    assert tree_form(one.tree) is TreeForm.THOUGHTS
    assert single(one) == [trace(Step("A disc at (50, 20). It is red."))]


def test_a_wrong_try_that_a_limit_cut_off_is_not_told() -> None:
    cut = wrong("I look at the corner near (1", answer=None)
    one = searched(node("A disc at (50, 20).", cut, right("It is (40, 30).")))
    assert [draft.is_corrected for draft in draft_chains(one, settings=SINGLE)] == [False]


def test_of_many_tries_every_one_is_in_about_as_many_pairs() -> None:
    tries = [wrong(f"W{i}.") for i in range(20)] + [right(f"R{i}.") for i in range(20)]
    told = list(map(thoughts, draft_chains(searched(node("S.", *tries)), settings=SINGLE)))[20:]
    assert len(set(told)) == len(told) == 64
    for kind in "WR":
        counts = [sum(f"{kind}{i}." in text.split() for text in told) for i in range(20)]
        assert {3, 4} == set(counts)


def test_coordinates_are_of_the_tree_whatever_size_this_run_shows(tmp_path: Path) -> None:
    """Seen at 448 (as the file is) by the teacher, at 112 by this run's policy."""
    Image.new("RGB", (448, 448)).save(tmp_path / "disc.png")
    size = {"shortest_edge": 56 * 56, "longest_edge": 112 * 112}
    store = ImageStore(
        Qwen2VLImageProcessorPil(size=size, patch_size=14, merge_size=2), family=Qwen25VL()
    )
    one = searched(node("A disc at (200, 80).", right("It is red.")))
    for frame, kept in ((None, 1), (Size(448, 448), 1), (Size(112, 112), 0)):
        tree = replace(one.tree, image=str(tmp_path / "disc.png"), frame=frame)
        found = linearize_trees([SearchedTask.of(tree, TASK, store)], tool=TOOL, settings=MULTI)
        assert len(found.records) == kept  # (200, 80) is off a picture of 112 px
        for record in found.records:
            assert record.frame == Size(448, 448)
            assert record.trace.steps[0].tool_call == look("", 200, 80).tool_call
    in_units = replace(one.tree, image=str(tmp_path / "disc.png"), frame=Size(1, 1))
    assert SearchedTask.of(in_units, TASK, store).image.frame is TextFrame.UNIT


@pytest.mark.parametrize(
    "told",
    [
        right(call_text(50, 20)),  # never answers
        right("no tags"),
        right(render_answer_turn("Red.", "red"), render_answer_turn("Red.", "red")),
        right(render_answer_turn("Red.", "red <think>")),
    ],
)
def test_turns_without_a_grammar_are_no_trace(told: SearchRollout) -> None:
    one = searched(node(call_text(50, 20), told))
    assert dialogs(one) == [None]
    assert linearize_trees([one], tool=TOOL).removed == {Removal.GRAMMAR: 1}


@pytest.mark.parametrize(
    "told",
    [
        right("At (50, 20). </tool_call>"),
        right("At (50, 20). <observation> a disc </observation>"),
        right("At (50, 20).", answer="red <answer>"),
        right("At (50, 20).", answer=" "),
    ],
)
def test_thoughts_that_could_not_be_read_back_are_no_trace(told: SearchRollout) -> None:
    one = searched(node("So.", told))
    assert single(one) == dialogs(one) == [None]


@pytest.mark.parametrize("opening", ["<think>", "<think> ", "<think>\n"])
def test_a_turn_around_stands_apart_from_the_thought_that_it_opens(opening: str) -> None:
    found = call_text(40, 30, think="Found.").replace("<think> ", opening)
    one = searched(
        node(
            call_text(50, 20, think="Shared."),
            wrong(call_text(9, 9, think="Astray."), render_answer_turn("Blue.", "blue")),
            right(found, render_answer_turn("Red.", "red")),
        )
    )
    corrected = dialogs(one)[1]
    assert corrected is not None
    assert corrected.steps[2].think == f"{TURN_AROUND} Found."


def test_a_teacher_that_turned_around_itself_is_turned_around_where_the_chain_does() -> None:
    bad = wrong(f"{TURN_AROUND} Astray (9, 9).", "<answer> blue </answer>")
    one = searched(node("Shared (50, 20).", bad, right("Found (40, 30).")))
    drafts = draft_chains(one, tool=TOOL, settings=MULTI)
    assert [draft.turned_at for draft in drafts] == [None, 2]
    one_turn = draft_chains(one, settings=SINGLE)
    assert [draft.turned_at for draft in one_turn] == [None, 0]


def test_decimal_points_are_looked_at() -> None:
    in_units = replace(view(size=Size(1, 1)), frame=TextFrame.UNIT)
    one = replace(searched(node("At (0.446, 0.179).", right("It is red."))), image=in_units)
    (told,) = dialogs(one)
    place = ToolCall("search_coordinate", {"coordinate": [0.446, 0.179]})
    assert told == trace(Step("At (0.446, 0.179).", place), Step("It is red."))


def test_a_dialog_needs_a_tool() -> None:
    with pytest.raises(ConfigError, match="tool is null"):
        draft_chains(searched(node("A (1, 1).", right("B."))))


# Filters


def drafts(*told: Trace, turned_at: int | None = None) -> list[Draft]:
    return [
        Draft(one, tuple(p for step in one.steps for p in find_points(step.think)), turned_at)
        for one in told
    ]


GOOD = trace(look("Near (50, 20).", 50, 20), Step("It is red."))


@pytest.mark.parametrize(
    ("bad", "reason", "settings"),
    [
        (trace(Step("At (50, 20)."), answer="blue"), Removal.WRONG_ANSWER, {}),
        (trace(Step("At (112, 20).")), Removal.OFF_PICTURE, {}),  # the last column is 111
        (trace(Step("At (-1, 20).")), Removal.OFF_PICTURE, {}),
        (trace(look("There.", 112, 20), Step("Red.")), Removal.REFUSED_CALL, {}),
        (
            trace(Step("(50, 20)", ToolCall("crop", {"coordinate": [50, 20]})), Step("Red.")),
            Removal.REFUSED_CALL,
            {},
        ),
        (trace(Step("It is red.")), Removal.TOO_FEW_POINTS, {}),
        (GOOD, Removal.TOO_FEW_POINTS, {"min_points": 2}),
        (
            trace(look("(1, 1)", 1, 1), look("(50, 50)", 50, 50), Step("Red.")),
            Removal.TOO_MANY_POINTS,
            {"max_points": 1},
        ),
        (
            trace(look("a", 1, 1), look("b", 50, 50), look("c", 4, 5), Step("Red.")),
            Removal.REPEATED_POINTS,  # (4, 5) is 5 px from (1, 1)
            {"max_repeats": 0, "near_px": 5},
        ),
    ],
)
def test_a_filter_removes_and_counts(bad: Trace, reason: Removal, settings: dict[str, Any]) -> None:
    other = trace(look("a", 90, 90), look("b", 20, 90), Step("Red."))
    fine = other if settings.get("min_points") == 2 else GOOD
    kept, removed = filter_drafts(
        drafts(bad, fine), TASK, image=view(), tool=TOOL, settings=FilterSettings(**settings)
    )
    assert [one.record.trace for one in kept] == [fine]
    assert removed == {reason: 1}


@pytest.mark.parametrize(("max_length", "num_kept"), [(51, 0), (52, 1)])
def test_length_is_measured_in_characters(max_length: int, num_kept: int) -> None:
    told = trace(Step("At (50, 20)."))  # <think> At (50, 20). </think> <answer> red </answer>
    settings = FilterSettings(max_length=max_length)
    kept, removed = filter_drafts(drafts(told), TASK, image=view(), settings=settings)
    assert len(kept) == num_kept
    assert removed == ({} if num_kept else {Removal.TOO_LONG: 1})


@pytest.mark.parametrize(
    ("second", "is_duplicate"),
    [
        (trace(look("Other words.", 53, 24), Step("So, red.")), True),  # 5 px away
        (trace(look("Near (50, 20).", 54, 24), Step("It is red.")), False),  # 5.7 px
        (trace(look("a", 50, 20), look("b", 90, 90), Step("Red.")), False),
        (trace(look("a", 50, 20), Step("Red."), answer="A. Red"), True),
    ],
)
def test_near_duplicates_have_the_answer_and_the_places_in_common(
    second: Trace, is_duplicate: bool
) -> None:
    settings = FilterSettings(near_px=5.0)
    kept, removed = filter_drafts(
        drafts(GOOD, second), TASK, image=view(), tool=TOOL, settings=settings
    )
    assert len(kept) == (1 if is_duplicate else 2)
    assert kept[0].record.trace == GOOD
    assert removed == ({Removal.NEAR_DUPLICATE: 1} if is_duplicate else {})
    all_kept, _ = filter_drafts(
        drafts(GOOD, second), TASK, image=view(), tool=TOOL,
        settings=replace(settings, keep_near_duplicates=True),
    )  # fmt: skip
    assert len(all_kept) == 2


def test_a_correction_is_no_duplicate_of_the_direct_chain() -> None:
    both = drafts(GOOD) + drafts(GOOD, turned_at=0)
    kept, _ = filter_drafts(both, TASK, image=view(), tool=TOOL)
    assert [one.is_corrected for one in kept] == [False, True]


ASTRAY = look("Astray.", 9, 9)  # in the frame of 112; the target is around (50, 20)
FOUND = look(f"{TURN_AROUND} Found.", 50, 20)
WITH_TARGET = replace(TASK, targets=(Box(190, 70, 210, 90),))


@pytest.mark.parametrize(
    ("steps", "turned_at", "reason"),
    [
        ((ASTRAY, FOUND, Step("It is red.")), 1, None),
        ((ASTRAY, Step(f"{TURN_AROUND} It is red.")), 1, Removal.NO_SECOND_LOOK),
        ((look("There.", 52, 22), FOUND, Step("Red.")), 1, Removal.WAS_RIGHT),  # goes back there
        ((look("There.", 60, 20), ASTRAY, Step("Red.")), 1, Removal.WAS_RIGHT),  # holds the target
    ],
)
def test_a_correction_leaves_a_wrong_place_and_looks_again(
    steps: tuple[Step, ...], turned_at: int, reason: Removal | None
) -> None:
    kept, removed = filter_drafts(
        drafts(trace(*steps), turned_at=turned_at), WITH_TARGET, image=view(), tool=TOOL,
        settings=FilterSettings(near_px=5.0),
    )  # fmt: skip
    assert removed == ({} if reason is None else {reason: 1})
    assert len(kept) == (reason is None)


def test_a_dialog_has_no_more_turns_than_the_policy_may() -> None:
    told = trace(ASTRAY, FOUND, Step("It is red."))
    for most, kept in ((3, 1), (2, 0)):
        settings = FilterSettings(max_turns=most)
        found, removed = filter_drafts(
            drafts(told), TASK, image=view(), tool=TOOL, settings=settings
        )
        assert len(found) == kept
        assert removed == ({} if kept else {Removal.TOO_MANY_TURNS: 1})


def test_right_answers_that_differ_are_no_duplicates() -> None:
    asked = task(scorer=ActionMatch(), answer="type [7] [red]", options=())
    told = [trace(Step("At (50, 20)."), answer=f"type [7] [{text}]") for text in ("red", "Rouge")]
    kept, _ = filter_drafts(drafts(*told), asked, image=view())  # what is typed is not judged
    assert len(kept) == 2


def test_point_answers_are_near_duplicates_by_distance() -> None:
    asked = task(scorer=PointInBox(Box(190, 70, 210, 90)), options=())
    told = [trace(Step("At (50, 20)."), answer=f"({x}, 20)") for x in (48, 50, 52)]
    kept, _ = filter_drafts(
        drafts(*told), asked, image=view(), settings=FilterSettings(near_px=2.0)
    )
    assert [one.record.trace.answer for one in kept] == ["(48, 20)", "(52, 20)"]


# Picking


def pool(**counts: tuple[int, int]) -> list[SolvedTrace]:
    """So many direct and corrected chains per task id."""
    return [
        SolvedTrace(
            TraceRecord(task(id=id), Trace((Step(f"{kind} {i}"),), "red")), kind == "corrected"
        )
        for id, numbers in counts.items()
        for kind, number in zip(("direct", "corrected"), numbers, strict=True)
        for i in range(number)
    ]


def shares(picked: list[SolvedTrace]) -> dict[str, tuple[int, int]]:
    found: dict[str, tuple[int, int]] = {}
    for one in picked:
        direct, corrected = found.get(one.record.task.id, (0, 0))
        found[one.record.task.id] = (direct + (not one.is_corrected), corrected + one.is_corrected)
    return found


def test_no_tree_gives_more_than_its_limit() -> None:
    picked = pick_traces(pool(easy=(50, 0), hard=(2, 0)), settings=PickSettings(max_per_tree=3))
    assert shares(picked) == {"easy": (3, 0), "hard": (2, 0)}


@pytest.mark.parametrize(
    ("frac", "expected"),
    [
        (0.0, {"a": (4, 0), "b": (4, 0)}),
        (0.5, {"a": (2, 2), "b": (2, 2)}),
        (1.0, {"a": (0, 4), "b": (0, 4)}),
    ],
)
def test_the_share_of_corrections_is_met(frac: float, expected: dict[str, tuple[int, int]]) -> None:
    traces = pool(a=(9, 9), b=(9, 9))
    settings = PickSettings(max_per_tree=4, corrected_frac=frac)
    picked = pick_traces(traces, settings=settings)
    total = [sum(numbers) for numbers in zip(*shares(picked).values(), strict=True)]
    assert total == [sum(numbers) for numbers in zip(*expected.values(), strict=True)]
    assert {id: sum(n) for id, n in shares(picked).items()} == {"a": 4, "b": 4}


def test_what_there_is_too_much_of_is_left_out() -> None:
    # every fourth is to be corrected; after 9 direct and 2 corrected the third of those is missing
    traces = pool(a=(9, 1), b=(9, 1), c=(9, 0))
    numbers = shares(pick_traces(traces, settings=PickSettings(corrected_frac=0.25)))
    assert [sum(column) for column in zip(*numbers.values(), strict=True)] == [9, 2]
    assert sorted(sum(given) for given in numbers.values()) == [3, 4, 4]


def test_the_choice_depends_on_the_seed_and_not_on_the_order() -> None:
    traces = pool(a=(30, 9), b=(30, 9), c=(3, 3))
    for frac in (None, 0.1):  # few corrections: which tree gives them is drawn
        settings = PickSettings(max_per_tree=5, corrected_frac=frac)
        picked = pick_traces(traces, settings=settings)
        assert pick_traces(traces[::-1], settings=settings) == picked
        assert pick_traces(traces, settings=replace(settings, seed=1)) != picked


def test_traces_that_are_not_kept_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    def done(frac: float | None) -> Linearized:
        wrong, right = (
            SearchRollout("blue", 0.0, ("At (9, 9).",)),
            [SearchRollout("red", 1.0, (f"At ({x}, 40).", "So.")) for x in (0, 40, 80)],
        )
        node = SearchNode("First at (99, 99).", False, 0.5, 4, (wrong, *right))
        root = SearchNode("What?", False, 0.5, 4, children=(node,))
        trees = [SearchTreeRecord(id, "What?", "red", "disc.png", root) for id in "bacaa"]
        return linearize_trees(
            [SearchedTask(tree, task(id=tree.id), view()) for tree in trees],
            tool=TOOL,
            settings=LinearizeSettings(move_first_frac=0.5),
            picking=PickSettings(max_per_tree=4, corrected_frac=frac),
        )

    for frac in (None, 0.3):
        kept = done(frac)
        with monkeypatch.context() as patch:
            patch.setattr(linearize, "KEPT_TRACES", 5)
            unkept = done(frac)
        assert isinstance(kept.records, tuple)
        assert not isinstance(unkept.records, tuple)
        assert replace(unkept, records=tuple(unkept.records)) == kept
        assert list(unkept.records[1:4]) == list(kept.records[1:4])


# The whole way


def released(thought: str, **fields: Any) -> dict[str, Any]:
    """A node as the released search writes it."""
    base: dict[str, Any] = {
        "thought_text": thought, "is_terminal": False, "value": 0.5, "visit_count": 2,
        "rollouts": [], "children": [], "used_coords": [],
    }  # fmt: skip
    return base | fields


def released_rollout(answer: str, reward: float, *texts: str) -> dict[str, Any]:
    return {
        "final_answer": answer, "reward": reward, "ephemeral_texts": list(texts),
        "ephemeral_depth": len(texts), "depth": len(texts) + 1,
        "num_same_points": 0, "num_different_points": len(texts),
    }  # fmt: skip


ELEMENT = "Press the disc."
CLICK_TREE = released(
    f"<image>\n{ELEMENT}",
    children=[
        released(
            "<think>\nThe menu is at (300, 40).\n</think>",
            rollouts=[
                released_rollout("(30, 30)", 0.0, "<think>\nMaybe (30, 30).\n</think>", "(30, 30)"),
                released_rollout(
                    "(200, 80)",
                    1.0,
                    "<think>\nThe disc is at (201, 81). It is round.\n</think>",
                    "<answer>\n(200, 80)\n</answer>",
                ),
            ],
            children=[
                released(
                    "(205, 85)",
                    is_terminal=True,
                    rollouts=[released_rollout("(205, 85)", 1.0)],
                )
            ],
        )
    ],
)


@pytest.fixture
def rollout_file(tmp_path: Path) -> Path:
    """Two trees in one released file; the picture is as large as the teacher saw it."""
    pixels = np.zeros((448, 448, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "disc.png")
    row = {
        "question": f"<image>\n{ELEMENT}", "image": "disc.png",
        "true_answer": "(190, 70, 210, 90)", "tree": CLICK_TREE, "system_prompt": "One step.",
        "global_search_time": 3.5, "id": 7,
    }  # fmt: skip
    path = tmp_path / "rollouts_worker0_ckpt0.jsonl"
    path.write_text("".join(json.dumps(row | {"id": id}) + "\n" for id in (7, 8)))
    return path


def read_searched(path: Path) -> list[SearchedTask]:
    return [
        SearchedTask(
            tree,
            tree_task(tree, scorer=PointInBox()),
            ImageView(FileImage(tree.image), Size(448, 448), Size(448, 448)),
        )
        for tree in read_mcts_jsonl(path)
    ]


@pytest.mark.parametrize("form", list(TraceForm))
@pytest.mark.parametrize("name", ["sft.json", "sft.jsonl"])
def test_a_released_file_is_linearized_written_and_read_back(
    rollout_file: Path, form: TraceForm, name: str
) -> None:
    settings = LinearizeSettings(form=form, move_first_frac=0.0)
    done = linearize_trees(read_searched(rollout_file), tool=TOOL, settings=settings)
    assert (done.num_trees, done.num_solved, done.num_corrected) == (2, 2, 2)
    assert (done.num_drafts, done.removed) == (6, {})
    assert {record.frame for record in done.records} == {Size(448, 448)}
    out = rollout_file.parent / name
    write_sft(done.records, out)
    back = read_sft_json(out, scorer=PointInBox())

    def told(records: Any) -> list[TraceRecord]:
        return [replace(r, task=replace(r.task, source="")) for r in records]

    assert told(back) == told(done.records)
    assert back[0].task.question == ELEMENT
    assert {r.trace.answer for r in back} == {"(200, 80)", "(205, 85)"}


def test_what_a_released_tree_says_as_dialogs(rollout_file: Path) -> None:
    done = linearize_trees(read_searched(rollout_file)[:1], tool=TOOL, settings=MULTI)
    menu = look("The menu is at (300, 40).", 300, 40)
    disc = "The disc is at (201, 81)."
    assert [r.trace for r in done.records] == [
        Trace((menu, END), "(205, 85)"),
        Trace((menu, look("Maybe (30, 30).", 30, 30),
               look(f"{TURN_AROUND} {disc}", 201, 81), Step("It is round.")), "(200, 80)"),
        Trace((menu, look(disc, 201, 81), Step("It is round.")), "(200, 80)"),
    ]  # fmt: skip


# without torch, two processes more take a second
SCRIPT = """
import json, sys
from tests.builders import task, view
from vigorl.core.search_tree import SearchNode, SearchRollout, SearchTreeRecord
from vigorl.rollout.tools.zoom_point import ZoomPoint
from vigorl.search.linearize import LinearizeSettings, linearize_trees
from vigorl.search.picking import PickSettings
from vigorl.search.searched import SearchedTask

def searched(number):
    tries = [
        SearchRollout("red" if x else "blue", float(x > 0), (f"At ({x}, {number}).", "So."))
        for x in (0, 30, 60, 90)
    ]
    node = SearchNode("First at (99, 99).", False, 0.5, 4, tuple(tries))
    root = SearchNode("What?", False, 0.5, 4, children=(node,))
    tree = SearchTreeRecord(f"t{number}", "What?", "red", "disc.png", root)
    return SearchedTask(tree, task(id=tree.id), view())

done = linearize_trees(
    [searched(number) for number in range(6)][:: int(sys.argv[1])],
    tool=ZoomPoint(window_px=112, view_px=56),
    settings=LinearizeSettings(move_first_frac=0.5),
    picking=PickSettings(max_per_tree=3, corrected_frac=0.3),
)
assert "torch" not in sys.modules
print(json.dumps([[r.task.id, r.trace.turns()] for r in done.records]))
"""


def test_neither_the_hash_seed_nor_the_order_of_trees_matters() -> None:
    def run(hash_seed: str, step: str) -> list[Any]:
        command = [sys.executable, "-c", SCRIPT, step]
        env = os.environ | {"PYTHONHASHSEED": hash_seed}
        done = subprocess.run(command, env=env, capture_output=True, text=True, check=True)
        return json.loads(done.stdout)

    first = run("1", "1")
    assert len(first) == 18  # six trees, three each; which give the 5 corrections is drawn
    assert {"First" in told[0] for _, told in first} == {True, False}  # some were moved
    assert run("2", "-1") == first


@pytest.mark.parametrize("name", ["sft.parquet", "sft"])
def test_only_the_two_released_layouts_are_written(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match="path must end in one of"):
        write_sft([TraceRecord(TASK, Trace((Step("x"),), "red"))], tmp_path / name)


@pytest.mark.parametrize(
    ("make", "key"),
    [
        (lambda: LinearizeSettings(form="both"), "form"),  # type: ignore[arg-type]
        (lambda: LinearizeSettings(max_looks=0), "max_looks"),
        (lambda: LinearizeSettings(move_first_frac=1.1), "move_first_frac"),
        (lambda: FilterSettings(max_length=0), "max_length"),
        (lambda: FilterSettings(min_points=-1), "min_points"),
        (lambda: FilterSettings(min_points=3, max_points=2), "max_points=2"),
        (lambda: FilterSettings(max_repeats=-1), "max_repeats"),
        (lambda: FilterSettings(near_px=float("nan")), "near_px"),
        (lambda: PickSettings(max_per_tree=0), "max_per_tree"),
        (lambda: PickSettings(corrected_frac=2.0), "corrected_frac"),
    ],
)
def test_a_wrong_setting_names_its_key(make: Callable[[], object], key: str) -> None:
    with pytest.raises(ConfigError, match=key):
        make()


class Mirror(StatelessTool):
    """Shows the first picture mirrored, and looks at what it has shown."""

    name = "mirror"
    spec = ToolSpec((), "a look", "the picture mirrored")

    def call(self, arguments: Mapping[str, object], *, scene: Scene) -> Observation:
        mirrored = replace(scene.first, source=Stored("1f", "mirrored.png"))
        seen = len(scene.views) - 1
        return Observation((mirrored,), Region(Point(200, 80), picture=seen))


def test_a_look_at_a_mirrored_picture_is_no_place_of_the_first() -> None:
    steps = [Step("Look.", ToolCall("mirror", {}))] * 2
    told = drafts(trace(*steps, Step("Red.")))
    assert filter_drafts(told, TASK, image=view(), tool=Mirror())[1] == {}  # the first look
    strict = FilterSettings(min_points=2)
    removed = filter_drafts(told, TASK, image=view(), tool=Mirror(), settings=strict)[1]
    assert removed == {Removal.TOO_FEW_POINTS: 1}
