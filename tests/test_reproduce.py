"""docs/reproduce.md: every command of it composes."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir

from vigorl.build import CONFIGS, check_settings
from vigorl.resolvers import register_resolvers

PAGE = (Path(__file__).parents[1] / "docs" / "reproduce.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"^    python -m vigorl\.(train|evaluate) (.+)$", PAGE, re.M)
WORDS = re.findall(r"`((?:scale|benchmark|experiment|env)[=.][^`]+)`", PAGE)
MODELS = [words for words in WORDS if words.startswith("scale=") and "..." not in words]
BENCHMARKS = [words for words in WORDS if words.startswith("benchmark=") and "[" not in words]


def composed(door: str, words: str) -> None:
    register_resolvers()
    with initialize_config_dir(CONFIGS, version_base="1.3"):
        cfg = compose(door, words.split())
    if not cfg.get("suite"):
        check_settings(cfg)


@pytest.mark.parametrize(("door", "words"), COMMANDS)
def test_a_command_composes(door: str, words: str) -> None:
    composed(door, words)


@pytest.mark.parametrize(
    ("benchmark", "model"),  # benchmarks in turn, and models
    [
        (BENCHMARKS[i % len(BENCHMARKS)], MODELS[i % len(MODELS)])
        for i in range(max(len(BENCHMARKS), len(MODELS)))
    ],
)
def test_a_model_and_a_benchmark_compose(benchmark: str, model: str) -> None:
    composed("evaluate", f"{benchmark} {model}")


def test_nothing_is_overlooked() -> None:
    assert (len(COMMANDS), len(MODELS), len(BENCHMARKS)) == (6, 13, 11)
