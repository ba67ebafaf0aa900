"""docs/reproduce.md: every command of it composes, and those that evaluate run on the samples."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from omegaconf import DictConfig

from tests.unit.evaluation.benchmarks.test_samples import laid_out
from vigorl.build import CONFIGS, check_settings
from vigorl.door import as_suite
from vigorl.evaluate import main
from vigorl.resolvers import register_resolvers

pytestmark = pytest.mark.usefixtures("copied_stores")
PAGE = (Path(__file__).parents[1] / "docs" / "reproduce.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"^    python -m vigorl\.(train|evaluate) (.+)$", PAGE, re.M)
WORDS = re.findall(r"`((?:scale|benchmark|experiment|env)[=.][^`]+)`", PAGE)
MODELS = [words for words in WORDS if words.startswith("scale=") and "..." not in words]
BENCHMARKS = [words for words in WORDS if words.startswith("benchmark=") and "[" not in words]
IN_A_BROWSER = "visualwebarena"  # its sites are the user's; tests/integration/test_web_episodes.py


def evaluations() -> list[str]:
    """What evaluates: the whole command, whose members are the benchmarks of the tables; several
    of them; and each with the environments that its row names.
    """
    found = [words for door, words in COMMANDS if door == "evaluate"]
    for row in re.findall(r"^\|.+$", PAGE, re.M):
        benchmarks, envs = (re.findall(rf"`({kind}=[^`]+)`", row) for kind in ("benchmark", "env"))
        found += [one for one in benchmarks if "[" in one]
        found += [f"{one} {env}" for one in benchmarks for env in envs]
    return found


EVALUATIONS = evaluations()


def composed(door: str, words: str) -> DictConfig:
    register_resolvers()
    with initialize_config_dir(CONFIGS, version_base="1.3"):
        cfg = compose(door, words.split())
    if not cfg.get("suite"):
        check_settings(cfg)
    return cfg


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
    alone = {re.split("[= ]", words)[1] for words in BENCHMARKS}
    assert alone - set(suite_of(EVALUATIONS[0].split())) == {IN_A_BROWSER}


@pytest.mark.slow
@pytest.mark.parametrize("words", EVALUATIONS)
def test_an_evaluation_runs_on_the_samples(
    words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the model that ships in place of the paper's, and a question of each benchmark."""
    ours = ("scale=", "model.", "data.root=", "limit=")
    told = [one for one in words.split() if not one.startswith(ours)]
    told = as_suite([*told, "limit=1", f"data.root={tmp_path}/downloads", "num_threads=1"])
    names = suite_of(told)
    shipped = {name: composed("evaluate", f"benchmark={name} data.root=x").data for name in names}
    folders = {instantiate(data).subfolder: name for name, data in shipped.items()}
    for folder, name in folders.items():  # of a download that two share, once
        laid_out(name, tmp_path / "downloads" / folder)
    into = [f"paths.root={tmp_path}", f"paths.base={tmp_path}/run"]
    monkeypatch.setattr(sys, "argv", ["evaluate", *told, *into])
    main()
    runs = [tmp_path / "run" / name for name in names] if len(names) > 1 else [tmp_path / "run"]
    for name, run in zip(names, runs, strict=True):
        report = json.loads((run / "report.json").read_text())
        assert (report["protocol"]["name"], len(report["questions"])) == (name, 1)


def suite_of(told: list[str]) -> list[str]:
    """The benchmarks that a command line evaluates."""
    cfg = composed("evaluate", " ".join(told))
    return [str(name) for name in cfg.suite or [cfg.name]]
