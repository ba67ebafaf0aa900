"""We-Math: options in one line, and a score that is no accuracy."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.unit.evaluation.benchmarks.conftest import Write
from vigorl.core.errors import DataError
from vigorl.evaluation.benchmarks.wemath import (
    ByRote,
    FourWay,
    Mastered,
    NotGeneralised,
    NotKnown,
    WeMath,
)
from vigorl.evaluation.metrics import Mean, measured
from vigorl.evaluation.report import QuestionOutcome

OPTION = "A. 40; B. 60;C. No correct answer"


def row(
    key: str, option: str = OPTION, answer: str = "A", name: str = "2steps_1"
) -> dict[str, object]:
    return {
        "ID": name,
        "split": "testmini",
        "knowledge concept": "Angles",
        "question": "What?",
        "option": option,
        "answer": answer,
        "image_path": "1.png",
        "key": key,
    }


def tasks(write: Write, picture: Callable[..., str], *rows: dict[str, object]) -> list:
    picture("data/1.png")
    root = write("data/testmini.json", rows)
    return list(WeMath(name="wemath", download="", root=str(root), file="data/*.json").tasks())


def test_steps_and_problem_share_their_id(write: Write, picture: Callable[..., str]) -> None:
    rows = [row(f"2steps_{part}") for part in ("1", "2", "multi")]
    made = tasks(write, picture, *rows)
    assert [one.tags["part"] for one in made] == ["1", "2", "multi"]
    assert [one.category for one in made] == ["one step", "one step", "2 steps"]
    assert {one.cluster for one in made} == {"2steps_1"}
    assert len({one.id for one in made}) == 3
    assert made[0].options == ("40", "60", "No correct answer")
    assert made[0].is_right("A")
    assert not made[0].is_right("60")


@pytest.mark.parametrize(
    ("option", "answer", "options"),
    [
        (
            "A. 1; B. 2; C. 3; D. 4; E. No correct answer",
            "E",
            ("1", "2", "3", "4", "No correct answer"),
        ),
        ("A. Yes.; B. No.; F. No correct answer", "B", ("Yes.", "No.", "No correct answer")),
        (
            "A. a > b; B. a = b; C. a = b; D. No correct answer",
            "B",
            ("a > b", "a = b", "No correct answer"),
        ),
    ],
    ids=["five", "a wrong letter", "twice the same"],
)
def test_options_of_real_rows(
    write: Write, picture: Callable[..., str], option: str, answer: str, options: tuple[str, ...]
) -> None:
    (task,) = tasks(write, picture, row("3steps_1", option, answer))
    assert task.options == options
    assert task.is_right(task.answer)


def test_an_unknown_part_is_refused(write: Write, picture: Callable[..., str]) -> None:
    with pytest.raises(DataError, match='"key" must be such as 2steps_1 or 3steps_multi'):
        tasks(write, picture, row("4steps_1"))


def problem(name: str, whole: float, *steps: float) -> list[QuestionOutcome]:
    parts = {str(number): score for number, score in enumerate(steps, 1)} | {"multi": whole}
    return [
        QuestionOutcome(
            f"{name}:{part}",
            "",
            "",
            ("",),
            (score,),
            cluster=name,
            tags={"problem": name, "part": part},
        )
        for part, score in parts.items()
    ]


PROBLEMS = [
    *problem("mastered", 1, 1, 1),
    *problem("rote unless loose", 1, 1, 0, 1),
    *problem("rote", 1, 0, 0),
    *problem("not generalised", 0, 1, 1),
    *problem("not known", 0, 1, 0, 0),
]


def test_four_ways_strict_and_loose() -> None:
    kinds = (Mastered(), ByRote(), NotGeneralised(), NotKnown())
    assert [kind(PROBLEMS) for kind in kinds] == pytest.approx([1 / 5, 2 / 5, 1 / 5, 1 / 5])
    assert [Mastered(is_loose=True)(PROBLEMS), ByRote(is_loose=True)(PROBLEMS)] == [2 / 5, 1 / 5]
    # the authors': (n - 0.5 not generalised - rote - not known) / n
    assert FourWay()(PROBLEMS) == pytest.approx((5 - 0.5 - 2 - 1) / 5)
    assert FourWay(is_loose=True)(PROBLEMS) == pytest.approx((5 - 0.5 - 1 - 1) / 5)
    assert Mean()(PROBLEMS) == pytest.approx(10 / 17)


def test_the_interval_draws_problems_with_all_their_parts() -> None:
    many = [one for i in range(40) for one in problem(str(i), float(i < 20), 1, 1)]
    found = measured(FourWay(), many)
    assert found.value == pytest.approx(0.75)  # half mastered, half not generalised
    # sd of a problem 0.25, so 1.96 x 0.25 / sqrt(40) = 0.077 either side
    assert found.high - found.low == pytest.approx(0.16, abs=0.02)


def test_shares_of_several_rollouts_are_chances() -> None:
    assert FourWay()(problem("half", 0.5, 0.5, 1)) == pytest.approx(0.5 * 0.5 + 0.5 * 0.5 / 2)
