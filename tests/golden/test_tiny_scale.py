"""The doors at the tiny scale do what they did when they were recorded, to the last digit.

One part alone: `pytest tests/golden/test_tiny_scale.py -k search`. The names of the parts, and how
to follow a change of settings or files, are in `tiny_scale.py`; to hold new behaviour:
`python -m tests.golden.record_tiny_scale`.

Last digits repeat only on the same kind of CPU with the same libraries. Elsewhere the exact test is
skipped, and the other one still holds what floats do not decide, and first numbers with room.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import pytest

from tests.golden.tiny_scale import (
    PARTS,
    Finding,
    differences,
    fingerprint,
    load_recording,
    run_part,
)

pytestmark = pytest.mark.slow

RECORDED = load_recording()
# Before the first update, of the same noise: a last digit may flip the token of a rollout or two.
ROOM = {
    "reward/total": 0.02,
    "train/entropy": 0.01,
    "train/loss": 1e-3,
    "val/accuracy": 0.1,
    "eval/accuracy": 0.05,
    "search/right_frac": 0.05,
    "val/nll": 1e-3,
}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Runs a part once, however many tests ask for it."""
    root = tmp_path_factory.mktemp("tiny_scale")
    return cache(lambda name: run_part(name, Path(root)))


@pytest.mark.parametrize("part", PARTS)
def test_what_no_float_decides_is_the_same_on_any_machine(part: str, runs: Any) -> None:
    recorded, now = RECORDED["parts"][part], runs(part)
    assert asked(now) == asked(recorded)
    old, new = first_numbers(recorded), first_numbers(now)
    assert new.keys() == old.keys()
    for name, value in new.items():
        assert value == pytest.approx(old[name], abs=ROOM[name]), f"{part}: {name} at the start"


@pytest.mark.parametrize("part", PARTS)
def test_all_is_the_same_to_the_last_digit(part: str, runs: Any) -> None:
    here = fingerprint()
    others = [
        f"{k}: {v!r}, here {here.get(k)!r}"
        for k, v in RECORDED["machine"].items()
        if here.get(k) != v
    ]
    if others:
        pytest.skip(f"recorded on another machine: {'; '.join(others)}")
    if found := differences(part, RECORDED["parts"][part], runs(part)):
        pytest.fail("\n".join(found), pytrace=False)


def asked(finding: Finding) -> dict[str, Any]:
    """What was asked, and what there are numbers of."""
    return {
        "rollouts": {
            phase: [(one["task"], one["index"], one["prompt"]) for one in rollouts]
            for phase, rollouts in finding.get("rollouts", {}).items()
        },
        "trees": sorted(
            (tree["id"], tree["question"], tree["system_prompt"])
            for tree in finding.get("trees", ())
        ),
        "questions": {
            id: (one["category"], one["right_answer"], one["chance"])
            for id, one in finding.get("questions", {}).items()
        },
        "metrics": {
            name: [step for step, _ in rows]
            for name, rows in finding["metrics"].items()
            if not name.startswith("chains/removed_")  # of what the search found
        },
    }


def first_numbers(finding: Finding) -> dict[str, float]:
    return {name: rows[0][1] for name, rows in finding["metrics"].items() if name in ROOM}
