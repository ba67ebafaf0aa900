"""Faithfulness through the real doors, with the start checkpoint that ships."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.integration.door import settings
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
    said = [f"paths.run={tmp_path}/run", "faithfulness=on"]
    report = run_evaluation(settings(tmp_path, *said, door="evaluate"))
    assert report.faithfulness is not None
    assert set(report.faithfulness.probes) == PROBES
    assert report.faithfulness.probes["forced_zoom"].before.value == report.accuracy.value
    assert EvaluationReport.from_json((tmp_path / "run/report.json").read_text()) == report
    printed = capsys.readouterr().out
    assert all(f"({name})" in printed for name in PROBES)
    scored = records(tmp_path / "run", "rollouts.jsonl")
    assert any(len(contrasts_of(one.rollout.probes)) == len(PROBES) for one in scored)
    assert "<dt>crop_black</dt>" in (tmp_path / "run/rollouts.html").read_text()


def test_validations_are_asked_and_nothing_else_changes(tmp_path: Path) -> None:
    asked = ["callbacks.faithfulness.every=2", "callbacks.faithfulness.num_rollouts=3"]
    off = train(settings(tmp_path, f"paths.run={tmp_path}/off"))
    on = train(settings(tmp_path, f"paths.run={tmp_path}/on", *asked))
    assert {name for name in on.keys() - off.keys() if "time/" not in name} == {
        f"val/faithfulness/{probe}{number}"
        for probe in PROBES
        for number in ("", "_drop", "_score")
    }
    for pattern in ("train_phase_*.jsonl", "val_phase_*.jsonl"):
        alone, probed = (records(tmp_path / run / "rollouts", pattern) for run in ("off", "on"))
        assert without_probes(probed) == alone != []
    num_asked = [
        sum(bool(one.rollout.probes) for one in records(tmp_path / "on/rollouts", f"val*{n}.jsonl"))
        for n in range(3)
    ]
    assert num_asked[1] == 0
    assert 0 < num_asked[0] <= 4
    assert 0 < num_asked[2] <= 4
