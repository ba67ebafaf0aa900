"""Which questions of a search are kept, and why."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.builders import task, view
from tests.search_trees import node, right, tree, wrong
from vigorl.core.errors import ConfigError, DataError
from vigorl.core.geometry import Box
from vigorl.core.scoring import NumberMatch, OneOf, PointInBox
from vigorl.core.search_tree import SearchRollout
from vigorl.search.keeping.search_effort import SearchEffort
from vigorl.search.keeping.solve_band import SolveBand
from vigorl.search.keeping.vote import Vote
from vigorl.search.kept_files import write_kept
from vigorl.search.searched import SearchedTask


def searched(*answers: str | None, truth: str = "red", **fields: Any) -> SearchedTask:
    """A question whose tries, all from the question, gave these answers."""
    asked = replace(task(), answer=truth, options=(), **fields)
    tries = tuple(SearchRollout(a, asked.score(a, view=view()), ()) for a in answers)
    grown = tree(id=asked.id)
    return SearchedTask(replace(grown, root=replace(grown.root, rollouts=tries)), asked, view())


def said(rule: Any, one: SearchedTask) -> tuple[str, bool]:
    (verdict,) = rule.judge([one])
    return verdict.why, verdict.kept is not None


@pytest.mark.parametrize(
    ("solved_at", "simulations", "children", "expected"),
    [
        (5, 5, (node(rollouts=(right(),)),), ("easy", False)),
        (6, 6, (node(rollouts=(right(),)),), ("hard", True)),
        (None, 50, (node(rollouts=(wrong(),)),), ("unsolved", True)),
        (None, 3, (node(rollouts=(wrong(),)),), ("cut short", False)),
        (None, 3, (node(rollouts=(wrong(),), is_terminal=True),), ("unsolved", True)),
    ],
)
def test_effort_is_the_iteration_of_the_first_right_answer(
    solved_at: int | None, simulations: int, children: Any, expected: tuple[str, bool]
) -> None:
    grown = tree(*children, solved_at=solved_at, num_simulations=simulations)
    one = SearchedTask(grown, task(), view())
    assert said(SearchEffort(), one) == expected
    assert not said(SearchEffort(more_than=100, keep_unsolved=False), one)[1]


def test_a_tree_that_notes_no_effort_is_named() -> None:
    one = SearchedTask(tree(node(rollouts=(right(),))), task(), view())
    with pytest.raises(DataError, match="the tree of t does not note when it was solved"):
        SearchEffort().judge([one])


def test_a_band_of_solve_rates() -> None:
    band = SolveBand(least=0.25, most=0.5)
    assert said(band, searched("red", "blue", "blue", "blue")) == ("in the band", True)
    assert said(band, searched("red", "red", "blue", None)) == ("in the band", True)
    assert said(band, searched("red", "red", "red", None)) == ("too easy", False)
    assert said(band, searched("blue", None)) == ("too hard", False)
    assert said(band, searched()) == ("not tried", False)
    with pytest.raises(ConfigError, match=r"keep\.least=0\.5 is above keep\.most=0\.1"):
        SolveBand(least=0.5, most=0.1)


@pytest.mark.parametrize(
    ("label", "answers", "expected"),
    [
        ("wins", ("red", "Red.", "red", "blue"), ("agrees with the label", True)),
        ("wins", ("red", "red", "blue", "blue"), ("no majority", False)),
        ("wins", ("blue", "blue", None, None), ("no majority", False)),
        ("wins", ("blue", "blue", "Blue", None), ("against the label, which wins", True)),
        ("must_agree", ("blue", "blue", "blue"), ("against the label", False)),
        ("is_replaced", ("blue", "blue", "blue"), ("label replaced", True)),
        ("is_replaced", (), ("not tried", False)),
    ],
)
def test_more_than_half_must_agree(
    label: Any, answers: tuple[str | None, ...], expected: tuple[str, bool]
) -> None:
    assert said(Vote(label=label), searched(*answers)) == expected


def test_a_replaced_label_turns_the_tries_around() -> None:
    (verdict,) = Vote(label="is_replaced").judge([searched("blue", "blue", "red")])  # type: ignore
    kept = verdict.kept
    assert kept is not None
    assert (kept.task.answer, kept.tree.answer) == ("blue", "blue")
    assert [one.is_right for one in kept.tree.root.rollouts] == [True, True, False]


def test_answers_are_one_where_the_scorer_says_so() -> None:
    half = searched("0.5", "1/2", "3", truth="7", scorer=NumberMatch())
    (verdict,) = Vote().judge([half])
    assert verdict.numbers == {"voted": "0.5", "share": pytest.approx(2 / 3)}
    # further right answers of the data are no votes for whatever else is said
    several = searched("cat", "dog", "dog", scorer=OneOf(accepted=("cat",)))
    assert Vote().judge([several])[0].numbers["voted"] == "dog"
    # of options only they can be voted for
    options = searched("A", "red", "green", "green")
    options = replace(options, task=replace(options.task, options=("red", "blue")))
    assert Vote(more_than=0.4).judge([options])[0].numbers == {"voted": "red", "share": 0.5}


def test_places_cannot_be_voted_for() -> None:
    one = searched("(5, 5)", scorer=PointInBox(box=Box(0, 0, 9, 9)))
    with pytest.raises(DataError, match="keep=vote needs answers in words"):
        Vote().judge([one])


def test_what_is_kept_is_a_file_of_questions_and_one_of_reasons(tmp_path: Path) -> None:
    both = [searched("blue", "blue"), replace(searched("red", None), task=replace(task(), id="b"))]
    verdicts = Vote(label="is_replaced").judge(both)  # type: ignore[arg-type]
    summary = write_kept(both, verdicts, tmp_path)
    assert summary["kept"] == {"label replaced": 1}
    assert summary["left_out"] == {"no majority": 1}
    said = json.loads((tmp_path / "kept.json").read_text())
    assert said["questions"]["b"]["why"] == "no majority"
    (row,) = map(json.loads, (tmp_path / "questions.jsonl").read_text().splitlines())
    assert (row["id"], row["answer"]) == (both[0].task.id, "blue")
