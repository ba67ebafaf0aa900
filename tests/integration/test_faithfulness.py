"""Faithfulness through the real doors, with the start checkpoint that ships."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.integration.door import history, settings
from vigorl.core.contrast import contrasts_of
from vigorl.core.rollout import ScoredRollout
from vigorl.evaluate import run_evaluation
from vigorl.evaluation.report import EvaluationReport
from vigorl.rollout.recorder import read_rollouts
from vigorl.train import train

pytestmark = pytest.mark.slow

PROBES = {
    "crop_black", "crop_noise", "crop_other", "tool_off", "forced_zoom", "last_crop_alone",
    "chain_answer",
}  # fmt: skip


def records(folder: Path, pattern: str) -> list[ScoredRollout]:
    return [one.scored for path in sorted(folder.glob(pattern)) for one in read_rollouts(path)]


def without_probes(scored: list[ScoredRollout]) -> list[ScoredRollout]:
    return [replace(one, rollout=replace(one.rollout, probes={})) for one in scored]


def test_an_evaluation_reports_every_probe(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    said = [f"paths.run={tmp_path}/run", "faithfulness=on", "samples_per_task=1"]
    report = run_evaluation(settings(tmp_path, *said, door="evaluate"))
    assert report.faithfulness is not None
    assert set(report.faithfulness.probes) == PROBES
    assert report.faithfulness.probes["tool_off"].before.value == report.accuracy.value
    assert EvaluationReport.from_json((tmp_path / "run/report.json").read_text()) == report
    assert all(name in capsys.readouterr().out for name in ())
    scored = records(tmp_path / "run", "rollouts.jsonl")
    assert any(len(contrasts_of(one.rollout.probes)) == len(PROBES) for one in scored)
    page = (tmp_path / "run/rollouts.html").read_text()
    assert "crop_black" in page


def test_validations_are_asked_and_nothing_else_changes(tmp_path: Path) -> None:
    said = ["rollout.eval_every=1", "callbacks.rollout_logger.every=1"]
    train(settings(tmp_path / "off", *said, f"paths.run={tmp_path}/off/run"))
    asked = ["callbacks.faithfulness.every=2", "callbacks.faithfulness.num_rollouts=3"]
    train(settings(tmp_path / "on", *said, *asked, f"paths.run={tmp_path}/on/run"))
    for pattern in ("train_phase_*.jsonl", "val_phase_*.jsonl"):
        off, on = (records(tmp_path / one / "run/rollouts", pattern) for one in ("off", "on"))
        assert without_probes(on) == off != []
    num_probed = [
        sum(
            bool(one.rollout.probes)
            for one in records(tmp_path / "on/run/rollouts", f"val*{n}.jsonl")
        )
        for n in range(3)
    ]
    assert num_probed[1] == 0 < num_probed[0]
    assert num_probed[2] > 0
    name = "val/faithfulness/tool_off_drop"
    assert [step for step, _ in history(tmp_path / "on", name)] == [0, 2]
    assert history(tmp_path / "off", name) == []
