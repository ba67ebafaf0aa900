"""Every error message of ours is in docs/troubleshooting.md, and is one line in a terminal."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest

from vigorl.door import _check_command_line, refusals
from vigorl.resolvers import CONFIGS, register_resolvers
from vigorl.run_folder import identity_files

ROOT = Path(CONFIGS).parent
PAGE = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")


def test_the_page_has_what_the_source_says_today() -> None:
    filled = runpy.run_path(str(ROOT / ".ci" / "troubleshooting.py"))["filled"]
    assert filled(PAGE) == PAGE, "docs/troubleshooting.md is stale: python .ci/troubleshooting.py"


def is_found(message: str) -> bool:
    """Whether an entry's fixed words are those of the message."""
    cells = re.findall(r"`([^`]+)`", PAGE)
    entries = [one.replace("\\|", "|") for one in cells if "…" in one[1:]]
    patterns = (".*?".join(map(re.escape, one.split("…"))) for one in entries)
    return any(re.fullmatch(f"(?:.+?: )?{pattern}", message, re.DOTALL) for pattern in patterns)


def refuse(*words: str) -> None:
    with refusals(code=2):
        cfg = _check_command_line("train", words)
        assert cfg is not None
        identity_files(Path(cfg.resume))


@pytest.mark.parametrize(
    "words",
    [
        "sede=1",
        "algorithm=grop",
        "seed=1.5",
        "experiment=mcts_vstar",
        "data=vstar_folder data.rooot=x",
        "kl_coef=0.1 experiment=sft_from_mcts data.path=x",
        "pixels.min_pixels=20000",
        "rollout.eval_limit=2",
        "seed=[1",
        "grpo_vstar",
        "--hlep",
        "resume=nowhere",
    ],
)
def test_a_refusal_of_a_command_line_is_one_line_that_is_found(
    words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    register_resolvers()
    with pytest.raises(SystemExit):
        refuse(*words.split())
    (line,) = capsys.readouterr().err.splitlines()
    assert is_found(line.removeprefix("error: ")), line


def test_the_matching_tells_messages_apart() -> None:
    assert not is_found("the moon is full")
    assert not is_found("there is a setting sede; did you mean seed?")
