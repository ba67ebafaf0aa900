"""A profiled run: what it writes, and that it changes nothing else."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.integration.door import history, same_weights, settings, weights
from vigorl.train import train

pytestmark = pytest.mark.slow


def test_a_profiled_run_has_timelines_and_the_weights_of_one_without(tmp_path: Path) -> None:
    run, said = tmp_path / "run", ["profile=on", "profile.torch=true"]
    train(settings(tmp_path, f"paths.run={run}", *said))
    assert sorted(one.name for one in (run / "profile").iterdir()) == [
        "phase_0000.html", "phase_0000.json", "torch_phase_0000_rank0.json.gz",
    ]  # fmt: skip
    events = json.loads((run / "profile/phase_0000.json").read_text())["traceEvents"]
    kinds = {one["cat"] for one in events if one["ph"] == "X"}
    assert kinds >= {
        "publish", "generate", "engine", "tool", "reward", "prepare", "logprob", "sleep",
        "forward", "backward", "optimizer", "evaluate", "record", "checkpoint",
    }  # fmt: skip
    assert "where the time goes" in (run / "rollouts/train_phase_0000.html").read_text()
    assert "where the time goes" not in (run / "rollouts/train_phase_0001.html").read_text()
    for name in ("perf/mfu", "perf/update_tokens_per_s"):
        measured = history(tmp_path, name)
        assert [step for step, _ in measured] == [1, 2]
        assert all(value > 0 for _, value in measured)
    assert [value for _, value in history(tmp_path, "perf/idle_frac")] == [0.0, 0.0]
    plain = tmp_path / "plain"
    train(settings(plain, f"paths.run={plain}/run"))
    assert same_weights(weights(run / "model"), weights(plain / "run/model"))
