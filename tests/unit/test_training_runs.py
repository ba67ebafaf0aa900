"""Trainings side by side: what makes an arm, what differs, which questions are the same."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from omegaconf import OmegaConf
from PIL import Image

from tests import builders
from tests.unit.pages.conftest import at
from vigorl.compare import main
from vigorl.core.errors import ConfigError
from vigorl.core.metrics_file import MetricsLine, append_metrics, curve_of
from vigorl.rollout.recorder import RolloutRecorder
from vigorl.training_runs import arms_of, differing_settings, is_training, read_run


def training(
    folder: Path, *, seed: int = 0, lr: float = 0.1, said: tuple[str, ...] = (), right: str = "ab"
) -> Path:
    """A run that was asked three questions after 2 phases and got those of `right`."""
    (folder / "rollouts").mkdir(parents=True)
    settings = {
        "name": "grpo",
        "seed": seed,
        "paths": {"run": str(folder)},
        "model": {"path": "start"},
        "optimizer": {"lr": lr},
        "module": {"optimizer": {"lr": lr}},
        "tiny": {"seed": seed},
        "callbacks": {"checkpoint": {"folder": f"{folder}/checkpoints"}},
    }
    OmegaConf.save(OmegaConf.create(settings), folder / "config.yaml")
    identity = {"format": 2, "mlflow_run_id": None, "overrides": [f"seed={seed}", *said]}
    (folder / "run.json").write_text(json.dumps(identity))
    append_metrics(folder / "metrics.jsonl", MetricsLine("train", 0, 0, {"reward/total": seed + 1}))
    picture = folder.parent / "disc.png"
    Image.new("RGB", (448, 448)).save(picture)
    with RolloutRecorder(folder / "rollouts" / "val_phase_0002.jsonl", run_seed=0) as recorder:
        for id in "abc":
            answer = builders.answer_turn("red" if id in right else "blue")
            one = replace(at(str(picture), builders.rollout(answer)), task=builders.task(id=id))
            recorder.write(builders.scored(one), phase="val/2")
    return folder


def refusal(capsys: pytest.CaptureFixture[str], *words: object) -> str:
    with pytest.raises(SystemExit):
        main([str(word) for word in words])
    (line,) = capsys.readouterr().err.splitlines()
    return line


def test_runs_that_differ_in_the_seed_alone_are_one_arm(tmp_path: Path):
    runs = [
        read_run(training(tmp_path / "a", seed=0)),
        read_run(training(tmp_path / "b", seed=1, lr=0.2, said=("optimizer.lr=0.2",))),
        read_run(training(tmp_path / "c", seed=1)),
    ]
    arms = arms_of(runs)
    assert [(arm.name, arm.seeds) for arm in arms] == [
        ("grpo", "seeds 0, 1"),
        ("optimizer.lr=0.2", "seed 1"),
    ]
    assert differing_settings(arms) == {"optimizer.lr": ["0.1", "0.2"]}  # once, not the module's
    alone = arms_of([runs[0], runs[2]])
    assert [arm.name for arm in alone] == ["seed 0", "seed 1"]
    assert differing_settings(alone) == {}


def test_a_table_a_file_and_a_page_of_trainings(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    runs = [
        training(tmp_path / "a0", seed=0),
        training(tmp_path / "a1", seed=1, right="a"),
        training(tmp_path / "b0", lr=0.2, said=("optimizer.lr=0.2",), right="abc"),
    ]
    main([*map(str, runs), "--out", str(tmp_path / "out")])
    printed = capsys.readouterr().out
    assert "optimizer.lr  0.1" in printed
    # a: 1 and 1 of two seeds, b: 1 and 0, c: 0 and 0
    assert "grpo 50.0  optimizer.lr=0.2 100.0  +50.0" in printed
    written = json.loads((tmp_path / "out" / "comparison.json").read_text())
    assert written["arms"]["grpo"] == [str(runs[0]), str(runs[1])]
    page = (tmp_path / "out" / "comparison.html").read_text()
    assert page.count("became better") == 2
    assert 'class="band c0"' in page  # two seeds
    assert 'class="band c1"' not in page


def test_what_cannot_be_compared_is_refused_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    a = training(tmp_path / "a")
    report = tmp_path / "report"
    report.mkdir()
    assert "a is a training and" in refusal(capsys, a, report)
    assert "a run stands there twice" in refusal(capsys, a, f"{a}/")
    staged = training(tmp_path / "staged" / "second").parent
    assert f"name one of them, such as {staged}/second" in refusal(capsys, a, staged)
    other = training(tmp_path / "other")
    record = other / "rollouts" / "val_phase_0002.jsonl"
    record.write_text(record.read_text().replace("colour", "shade"))  # same ids, other questions
    assert "have no question of their last evaluations in common" in refusal(capsys, a, other)
    record.unlink()
    assert "has no evaluation among its rollouts/" in refusal(capsys, a, other)


def test_a_run_without_metrics_is_measured_by_its_rollouts(tmp_path: Path):
    run = training(tmp_path / "old")
    (run / "metrics.jsonl").unlink()
    assert is_training(run)
    (x, value) = curve_of(read_run(run).lines, "val/accuracy")[0]
    assert (x, round(value, 3)) == (2.0, 0.667)
    (run / "config.yaml").unlink()
    with pytest.raises(ConfigError, match="no training's folder"):
        read_run(run)
