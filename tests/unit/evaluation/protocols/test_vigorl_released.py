"""Answers as the released evaluation judges them, false credits included."""

from __future__ import annotations

import pytest

from tests.builders import DISC, answer_turn, rollout, task, turn, zoom_turn
from vigorl.core.records import TaskRecord
from vigorl.core.scoring import ActionMatch, NumberMatch, PointInBox
from vigorl.evaluation.protocols.vigorl_released import VigorlReleased


def web(right: str) -> TaskRecord:
    return task(answer=right, options=(), scorer=ActionMatch())


@pytest.mark.parametrize(
    ("answer", "asked", "score"),
    [
        ("red", task(), 1.0),
        ("RE D.", task(), 1.0),
        ("not red", task(), 1.0),
        ("10", task(answer="1", options=()), 1.0),
        ("I do not know", task(answer="no", options=()), 1.0),
        ("-5", task(answer="5", options=()), 1.0),
        ("blue", task(), 0.0),
        ("A", task(), 0.0),  # letters are no texts
        ("(50, 20)", task(options=(), scorer=PointInBox(DISC)), 1.0),
        ("[50, 20]", task(options=(), scorer=PointInBox(DISC)), 1.0),
        ("(50.0, 20)", task(options=(), scorer=PointInBox(DISC)), 0.0),
        ("(90, 20)", task(options=(), scorer=PointInBox(DISC)), 0.0),
        ("click [1]", web("click [1]"), 1.0),
        ("click [2]", web("click [1]"), 0.0),
        ("click [1]", web("click [12]"), 0.0),
        ("click 1", web("click [12]"), 1.0),  # its characters occur
        ("type [7] [shoes]", web("type [7] [red shoes]"), 1.0),  # the text is never compared
        ("type [7] [red shoes]", web("type [7] [red shoes]"), 0.0),  # nor may it hold a blank
        ("scroll [up]", web("scroll [down]"), 1.0),
        ("stop [no]", web("stop [yes]"), 1.0),
        ("hover [3]", web("hover [3]"), 0.0),
        ("three", task(answer="3", options=(), scorer=NumberMatch()), 1.0),  # ours: not known there
    ],
)
def test_released_judges(answer: str, asked: TaskRecord, score: float) -> None:
    assert VigorlReleased().score(rollout(answer_turn(answer), task=asked)) == score


def test_thoughts_and_tags() -> None:
    judging = VigorlReleased()
    bare = rollout(turn("<answer>red</answer>"))
    assert judging.score(bare) == 1.0  # the last turn needs no thought
    assert judging.answer(rollout(turn("red"))) is None
    assert not judging.is_readable(rollout(turn("red")))
    without = rollout(turn("look", observation="x"), answer_turn())
    assert judging.score(without) == 0.0
    assert VigorlReleased(thoughts=False).score(without) == 1.0
    assert judging.score(rollout(zoom_turn(), answer_turn())) == 1.0
