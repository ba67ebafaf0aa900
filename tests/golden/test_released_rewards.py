"""2,000 responses for which the official functions themselves were run: number for number.

Source: Gabesarch/grounded-rl@e7970c0; `record_released_rewards.py` says how it was recorded.
"""

from __future__ import annotations

import gzip
import json
from typing import Any

import pytest

from tests.builders import ORIGINAL, rollout, task, turn, view
from tests.golden.record_released_rewards import FUNCTIONS, RECORDING
from vigorl.core.geometry import Box
from vigorl.core.records import TaskRecord
from vigorl.core.rewards import vigorl_released
from vigorl.core.scoring import ActionMatch, PointInBox

ROWS = json.loads(gzip.decompress(RECORDING.read_bytes()))


def asked(function: str, truth: str) -> TaskRecord:
    """A task whose right answer the released data would write so."""
    if function.startswith("point"):
        box = Box(*json.loads(f"[{truth.strip()[1:-1]}]"))
        return task(answer=truth, options=(), scorer=PointInBox(box))
    if function.startswith("web"):
        return task(answer=truth, options=(), scorer=ActionMatch())
    return task(answer=truth, options=())


@pytest.mark.parametrize("function", FUNCTIONS)
def test_every_response_gets_what_the_released_function_pays(function: str) -> None:
    is_multi_turn = function.endswith(("multiturn", "multicrop"))
    needs_points = is_multi_turn or function.endswith("thinking")
    reward = vigorl_released(multi_turn=is_multi_turn, require_points=needs_points)
    shown: Any = (view(size=ORIGINAL),)
    wrong = []
    for text, truth, *paid in ROWS[function]:
        one = rollout(turn(text), task=asked(function, truth), prompt_views=shown)
        found = reward.breakdown(one)
        got = [found.total, found.parts["format"], found.parts["accuracy"]]
        if got != pytest.approx(paid, abs=1e-12):
            wrong.append((text, truth, paid, got))
    assert not wrong, (len(wrong), wrong[:5])
