"""Record anew what `test_released_rewards.py` holds: what the official functions pay for texts.

    python -m tests.golden.record_released_rewards CHECKOUT_OF_GROUNDED_RL

The texts are all kinds in which a policy is known to answer, well and badly: tags doubled,
unclosed, in capitals, with a newline or white space in or behind them, points in other brackets or
none, actions that are empty, unknown, or hold another's verb.
"""

# ruff: noqa: E501

from __future__ import annotations

import gzip
import importlib.util
import itertools
import json
import random
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

RECORDING = Path(__file__).parent / "released_rewards.json.gz"
FUNCTIONS = {
    "string_match_grounded_thinking": "sat_compute_score",
    "string_match": "sat_compute_score",
    "point_in_bbox_grounded_thinking": "point_in_bbox_compute_score",
    "point_in_bbox": "point_in_bbox_compute_score",
    "web_action_grounded_thinking": "web_action_compute_score",
    "web_action": "web_action_compute_score",
    "string_match_multiturn": "string_match_multiturn_compute_score",
    "point_in_bbox_multicrop": "point_in_bbox_multicrop_compute_score",
}
ROWS_EACH = 250

TRUTHS = {
    "string": ["red", "Chair was moved", " red ", "(b) red", "stop", "x²"],
    "point": ["(190, 70, 210, 90)", " (0, 0, 447, 447) ", "(1.5, 2, 30, 40)", "(-5, -5, 3, 3)"],
    "web": [
        "click [12]", "type [7] [red shoes]", "type [a b] [c]", "scroll [down]", "scroll [up]",
        "go_back", "stop [unclicked]", "stop", "click [x]",
    ],
}  # fmt: skip
ANSWERS = {
    "string": [
        "red", "Red", " red ", "A. red", "a)red", "(A) red", "B) Chair was moved", "Chair was moved",
        "chair was moved", "red.", "not red", "", " ", "A.", "red\n", "\nred", "A. red\nblue", "x²",
        "(b) red", "b) red", "stop", "X²", "İ", "red<answer>red",
    ],
    "point": [
        "(200, 80)", "(190,70)", "(210, 90)", "(211, 90)", "( 200 , 80 )", "200, 80", "[200, 80]",
        "{200: 1, 80: 2}", "(200, 80).", "(200.0, 80)", "(200, 80, 1)", "(+200, 80)", "(-1, -1)",
        "(True, False)", "(0xC8, 80)", "(2_00, 80)", "(200 80)", "((200, 80))", "(200, 80),",
        "\n(200, 80)", "(200,\n80)", "'(200, 80)'", "(99999, 5)", "(" + "9" * 400 + ", 80)", "", "x",
        "(200, 80) or (1, 1)", "(200, 80)\n", "()", "(008, 80)", "(200, 80", "b'\\xc8P'", "None",
    ],
    "web": [
        "click [12]", "Click [12]", "click[12]", "click [ 12 ]", "click 12", "click [3]", "click",
        "click [12] then stop", "type [7] [red shoes]", "type [7] [blue]", "type [red shoes]",
        "type [8]", "type []", "type [ 7 ]", "type 7", "scroll [down]", "scroll [up]", "scroll down",
        "scroll [down] [up]", "go_back", "do not go_back", "stop", "stop [x]", "unstoppable", "", " ",
        "hover [12]", "press [enter]", "typewriter [7]", "click [x]", "type [a b] [d]", "[12]",
        "click\n[12]", "type [7]\n[red]", "I would click [12].", "double-click [12]", "scroll",
    ],
}  # fmt: skip
THOUGHTS = ["At (50, 20).", "At (50,20) and (1, 2)", "Nothing", "", " ( 50, 20)", "(9999, -1)",
            "(1, 2)\nand stop", "<answer>red</answer> (1, 2)", "click [12] (3, 4)"]  # fmt: skip
WRAPPERS = [
    "<answer> {} </answer>", "<answer>{}</answer>", "<answer>\n{}\n</answer>", "<answer> {}", "{}",
    "{} </answer>", "<answer><answer> {} </answer></answer>", "<Answer> {} </Answer>",
    "<answer> {} </Answer>", "<ANSWER>{}</answer>", "<answer> x </answer><answer> {} </answer>",
    "<answer> {} </answer><answer> x </answer>", "<answer> {} </answer>\n", "<answer> {} </answer> .",
    "\n\n<answer> {} </answer>", "<answer> {} </answer><|im_end|>", "<think> (1, 2) </think>"
    "<answer> {} </answer>", "<answer></answer><answer> {} </answer>", " <answer> {} </answer>\t\n",
]  # fmt: skip
OPENINGS = ["<think> {} </think>\n", "<think>{}</think>", "<Think> {} </Think>", "{}", "<think> {} ",
            " <think> {} </think>", "<think><think> {} </think></think>", "{} </think>"]  # fmt: skip
CALLS = [
    '{"name": "search_coordinate", "arguments": {"coordinate": [50, 20]}}',
    '{"name": "search_coordinate", "arguments": {"coordinate": [59, 20]}}',
    '{"name": "search_coordinate", "arguments": {"coordinate": [60, 20]}}',
    '{"name": "any", "arguments": {"coordinate": [-5, 99999]}}',
    '{"arguments": {"coordinate": [56, 28]}}', '{"arguments": {"coordinate": [true, 2]}}',
    '{"arguments": {"coordinate": [1.5, 2]}}', '{"arguments": {"coordinate": [1, 2, 3]}}',
    '{"arguments": {"coordinate": "1, 2"}}', '{"arguments": null}', '{"arguments": [1]}', "{}",
    "{not json}", "hello", "", '{"a": {"b": 1}} {"c": 2}',
    '{"arguments": {"coordinate": [' + "9" * 400 + ", 2]}}",
]  # fmt: skip
REPLIES = [
    "<tool_call>\n{}\n</tool_call>\nuser\n<observation>\nHere is the crop:\n\n</observation>\nassistant\n",
    "<tool_call>{}</tool_call><observation></observation>",
    "<Tool_call>{}</tool_call><Observation>x</observation>",
    "<tool_call>{}</tool_call>", "<tool_call>{}<observation>x</observation>",
]  # fmt: skip


def texts(kind: str, is_multi_turn: bool, rng: random.Random) -> Iterator[tuple[str, str]]:
    """(response, truth) without end: mostly well-formed around one thing that is not."""
    for number in itertools.count():
        truth = rng.choice(TRUTHS[kind])
        answer = rng.choice(ANSWERS[kind]) if number % 3 else truth
        wrapper = rng.choice(WRAPPERS) if number % 2 else WRAPPERS[number % 3 != 0]
        opening = rng.choice(OPENINGS) if number % 5 == 0 else OPENINGS[number % 2]
        head = ""
        for _ in range(rng.randrange(5) if is_multi_turn else 0):
            call = rng.choice(CALLS) if number % 4 == 0 else rng.choice(CALLS[:5])
            reply = rng.choice(REPLIES) if number % 7 == 0 else REPLIES[number % 2]
            head += "<think> Look. </think>\n" + reply.replace("{}", call)
        thought = opening.replace("{}", rng.choice(THOUGHTS))
        yield head + thought + wrapper.replace("{}", answer), truth


def load(path: Path) -> ModuleType:
    sys.modules.setdefault("mathruler", ModuleType("mathruler"))
    grader: Any = sys.modules.setdefault("mathruler.grader", ModuleType("mathruler.grader"))
    grader.grade_answer = None  # imported by all, called by none
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def record(folder: Path) -> dict[str, list[tuple[str, str, float, float, float]]]:
    """(response, truth, overall, format, accuracy) by file."""
    found = {}
    for name, function in FUNCTIONS.items():
        score: Callable[[str, str], dict[str, float]] = getattr(
            load(folder / f"{name}.py"), function
        )
        kind, is_multi_turn = name.split("_")[0], name.endswith(("multiturn", "multicrop"))
        rows: dict[tuple[str, str], tuple[str, str, float, float, float]] = {}
        for text, truth in texts(kind, is_multi_turn, random.Random(name)):
            paid = score(text, truth)
            rows[text, truth] = (text, truth, paid["overall"], paid["format"], paid["accuracy"])
            if len(rows) == ROWS_EACH:
                break
        found[name] = list(rows.values())
    return found


if __name__ == "__main__":
    rows = record(Path(sys.argv[1]) / "src/trainer/rl/examples/reward_function")
    data = json.dumps(rows, ensure_ascii=False, indent=0).encode()
    RECORDING.write_bytes(gzip.compress(data, mtime=0))
    for name, of_one in rows.items():
        print(name, len(of_one), f"{sum(row[4] for row in of_one):g} right")
