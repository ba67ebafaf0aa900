"""Readings of the kits, faults included, as their own functions gave them (benchmarks/kits.py)."""

from __future__ import annotations

import pytest

from tests.builders import rollout, task, turn, view
from vigorl.core.errors import ConfigError
from vigorl.core.geometry import Box, Size
from vigorl.core.records import TaskRecord
from vigorl.core.rollout import Rollout
from vigorl.core.scoring import PointInBox, PointInPolygon, TextMatch, YesNo
from vigorl.evaluation.protocols.lmms_eval import LmmsEval, LmmsEvalPrompt
from vigorl.evaluation.protocols.vlmevalkit import VlmEvalKit, VlmEvalKitPrompt

COLOURS = ("red", "blue", "green", "grey")
SQUARE = PointInPolygon().for_answer("[(0.25, 0.25), (0.75, 0.25), (0.75, 0.75), (0.25, 0.75)]")
SLANTED = PointInPolygon().for_answer("[(0.25, 0.2), (0.75, 0.25), (0.8, 0.75), (0.2, 0.8)]")
BUTTON = PointInBox(Box(100, 120, 200, 160))


def said(reply: str, asked: TaskRecord) -> Rollout:
    shown = (view(original=Size(640, 480)),)
    return rollout(turn("a turn before"), turn(reply), task=asked, prompt_views=shown)


def choice(right: str = "blue", options: tuple[str, ...] = COLOURS) -> TaskRecord:
    return task(answer=right, options=options)


def open_question(right: str) -> TaskRecord:
    return task(answer=right, options=(), scorer=YesNo() if right in ("yes", "no") else TextMatch())


@pytest.mark.parametrize(
    ("benchmark", "reply", "asked", "answer", "score"),
    [
        ("vstar", "B", choice(), "B", 1.0),
        ("vstar", "Answer: D", choice(), "A", 0.0),  # the A of "Answer"
        ("vstar", "Dog", choice(), "D", 0.0),
        ("vstar", "<answer>C</answer>", choice(), None, 0.0),
        ("blink", "The answer is B", choice(), "T", 0.0),
        ("blink", "(b) blue", choice(), "B", 1.0),
        ("cv_bench", "**B**", choice(), None, 0.0),
        ("sat", "B.", choice(), "B", 1.0),
        ("sat", "The answer is B", choice(), "The", 0.0),
        ("realworldqa", "A car is there, so the answer is B", choice(), "A", 0.0),
        ("realworldqa", "3.", open_question("3"), "3", 1.0),
        ("realworldqa", "three", open_question("3"), "three", 0.0),
        ("mme_realworld", "Based on it, D", choice("grey"), "B", 0.0),
        ("mme_realworld", "", choice("red"), "A", 1.0),  # nothing is in "(a)"
        ("pope", " Yes ", open_question("yes"), "yes", 1.0),
        ("pope", "Yes.", open_question("yes"), None, 0.0),
        ("gqa", "Blue!", open_question("blue"), "Blue!", 1.0),
        ("gqa", " blue", open_question("blue"), " blue", 0.0),
        ("ai2d", "B. blue", choice(), "B", 1.0),
        ("ai2d", "(b)", choice(), "(b)", 1.0),
        ("hrbench_4k", "It is B", choice(), "B", 1.0),
        ("hrbench_4k", "It is blue", choice(), "B", 1.0),
        ("hrbench_4k", "A dog by B", choice(), None, 0.0),
        ("mmvp", "The answer is (b)", choice("blue", ("red", "blue")), "B", 1.0),
        ("mmmu", "I would say that it is blue, clearly", choice(), "B", 1.0),
        ("mmmu", "unclear", choice(), None, 0.0),
        ("mmmu", "30", open_question("30"), "30", 0.0),  # every open one is wrong
        ("robospatial", "I do not know", open_question("no"), "no", 1.0),
        ("robospatial", "x\nAnswer: yes", open_question("yes"), "yes", 1.0),
        (
            "robospatial",
            '```json\n[{"point_2d": [1, 1]}, {"point_2d": [500, 500]}]\n```',
            task(answer="", options=(), scorer=SQUARE),
            "[(0, 0), (320, 240)]",
            1.0,  # any place counts
        ),
        ("robospatial", "(320, 240)", task(answer="", options=(), scorer=SQUARE), None, 0.0),
        ("screenspot_v2", "[0.2, 0.3]", task(options=(), scorer=BUTTON), "(0.2, 0.3)", 1.0),
        ("screenspot_v2", "[150, 140]", task(options=(), scorer=BUTTON), "(150.0, 140.0)", 0.0),
        ("screenspot_pro", "[150, 140]", task(options=(), scorer=BUTTON), "(0.234375, 0.291", 1.0),
        ("mathvision", r"So \boxed{B}", choice(), "b", 1.0),
        ("mathvision", r"\boxed{3} or \boxed{4}", open_question("4"), "4", 1.0),
    ],
)
def test_lmms_eval(
    benchmark: str, reply: str, asked: TaskRecord, answer: str | None, score: float
) -> None:
    judging, one = LmmsEval(benchmark), said(reply, asked)
    found = judging.answer(one)
    assert found == answer or (answer is not None and str(found).startswith(answer))
    assert judging.score(one) == score
    assert judging.is_readable(one) is (answer is not None)


@pytest.mark.parametrize(
    ("benchmark", "reply", "asked", "answer", "score"),
    [
        ("vstar", "(B)", choice(), "B", 1.0),
        ("vstar", "<answer>B</answer>", choice(), None, 0.0),
        ("vstar", "D because of A", choice("grey"), None, 0.0),
        ("vstar", "A lamp stands there", choice("red"), "A", 1.0),  # the article
        ("vstar", "blue it is", choice(), "B", 1.0),
        ("vstar", "I can't process this file.", choice(), "Z", 0.0),
        ("hrbench_8k", "not B", choice(), "B", 1.0),
        ("mmmu", "thirty, that is 30", open_question("30"), "A", 1.0),
        ("mme_realworld", "<answer> b </answer>", choice(), "B", 1.0),
        ("treebench", "The best answer is B", choice(), "B", 1.0),
        ("wemath", "Answer: B. blue", choice(), "B", 1.0),
        ("wemath", "it is B", choice(), None, 0.0),
        ("pope", "Yes, there is.", open_question("yes"), "yes", 1.0),
        ("pope", "yes and no", open_question("yes"), None, 0.0),
        ("gqa", "Blue.", open_question("blue"), "Blue.", 0.0),
        ("robospatial", "Nothing", open_question("no"), "nothing", 1.0),
        (
            "robospatial",
            '[{"point_2d": [500, 500]}]',
            task(answer="", options=(), scorer=SLANTED),
            "(0.5, 0.5)",
            1.0,
        ),
        (
            "robospatial",
            "(320, 240)",
            task(answer="", options=(), scorer=SQUARE),
            "(0.5, 0.5)",
            0.0,  # its ray counts vertical edges on both sides
        ),
        (
            "screenspot_v2",
            "pyautogui.click(x=200, y=140)",
            task(options=(), scorer=BUTTON),
            "(200.0, 140.0)",
            0.0,  # its boxes end a pixel early
        ),
        (
            "screenspot_pro",
            "pyautogui.click(x=200, y=140)",
            task(options=(), scorer=BUTTON),
            "(200.0, 140.0)",
            1.0,
        ),
        ("screenspot_pro", "(150, 140)", task(options=(), scorer=BUTTON), None, 0.0),
        ("mathvision", "35 or 36", open_question("35"), "35 or 36", 1.0),  # runs it as Python
        ("mathvista", "3.0", open_question("3"), None, 0.0),
        ("mathvista", "3", open_question("3"), "3", 1.0),
    ],
)
def test_vlmevalkit(
    benchmark: str, reply: str, asked: TaskRecord, answer: str | None, score: float
) -> None:
    judging, one = VlmEvalKit(benchmark), said(reply, asked)
    assert judging.answer(one) == answer
    assert judging.score(one) == score
    assert judging.is_readable(one) is (answer is not None)


@pytest.mark.parametrize(
    ("make", "benchmark", "reason"),
    [
        (LmmsEval, "treebench", "protocol=lmms_eval cannot be used for treebench: it has no such"),
        (LmmsEval, "mathvista", "GPT-4o takes out every answer; it knows ai2d, blink"),
        (LmmsEval, "sat2", "it has no such task"),
        (VlmEvalKit, "mathverse", "GPT-4 takes out and judges every answer"),
        (VlmEvalKit, "my_own", "it has no such task; it knows ai2d"),
    ],
)
def test_what_a_kit_does_not_judge(make: type, benchmark: str, reason: str) -> None:
    with pytest.raises(ConfigError, match=reason):
        make(benchmark)


def test_prompts() -> None:
    two = task(question="Which?", options=("red", "blue"))
    assert _text(LmmsEvalPrompt("vstar"), two) == (
        "<image>Which?\nA. red\nB. blue\n"
        "Answer with the option's letter from the given choices directly."
    )
    assert _text(LmmsEvalPrompt("blink"), two) == (
        "<image>Note: You only need to respond with A, B without providing any additional "
        "information.\nWhich?\nSelect from the following choices.\n(A) red\n(B) blue"
    )
    assert _text(LmmsEvalPrompt("mathvision"), two).startswith(
        '<image>Please solve the problem step by step and put your answer in one "\\boxed{}".Which?'
    )
    place = task(question="Where? Your answer should be so.", options=(), scorer=SQUARE)
    assert "normalized to the range [0, 1000]" in _text(LmmsEvalPrompt("robospatial"), place)
    assert _text(VlmEvalKitPrompt("robospatial"), place).startswith("<image>Where?\n\nOutput the")
    assert _text(VlmEvalKitPrompt("mmvp"), two) == (
        "<image>Question: Which?\nOptions:\nA. red\nB. blue\n"
        "Please select the correct answer from the options above. \n"
    )
    click = VlmEvalKitPrompt("screenspot_pro").write().messages(task(options=()))
    assert [one.role for one in click] == ["system", "user"]


def test_a_protocol_says_its_kit_and_its_benchmark() -> None:
    assert LmmsEval("blink").settings() == {
        "_target_": "vigorl.evaluation.protocols.lmms_eval.LmmsEval",
        "benchmark": "blink",
    }


def _text(prompt: LmmsEvalPrompt | VlmEvalKitPrompt, asked: TaskRecord) -> str:
    message = prompt.write().messages(asked)[-1]
    return message.text + message.plain
