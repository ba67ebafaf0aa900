"""Two runs by one command, their exit code, and the search of docs/sweeps.md."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from tests.integration.door import (
    NO_LOOKS,
    SMALL,
    UNTRAINED,
    VARIED_REWARD,
    run_door,
    store,
)
from vigorl.resolvers import CONFIGS

pytestmark = pytest.mark.slow

TINY = [VARIED_REWARD, *UNTRAINED, "num_phases=1"]


def test_two_seeds_are_two_runs_and_the_first_that_fails_ends_the_sweep(tmp_path: Path) -> None:
    words = ["-m", f"paths.root={tmp_path}", *TINY, *NO_LOOKS]
    done = run_door(*words, "seed=0,1")
    assert done.returncode == 0, done.stdout + done.stderr
    runs = store(tmp_path).search_runs(["1"])
    assert {run.data.params["seed"] for run in runs} == {"0", "1"}
    assert len({run.info.artifact_uri for run in runs}) == 2
    assert len([*tmp_path.glob("outputs/*/*/model")]) == 2
    assert len([*tmp_path.glob("outputs/sweeps/*/multirun.yaml")]) == 1
    nowhere = ["model.path=nowhere", "model.maker=null", "num_phases=1"]
    failed = run_door("-m", f"paths.root={tmp_path}", *nowhere, "seed=2,3")
    assert failed.returncode == 1
    (line,) = [line for line in failed.stderr.splitlines() if line.startswith("error: ")]
    assert "nowhere" in line
    assert "Traceback" not in failed.stderr


@pytest.mark.long
def test_the_search_of_the_document_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("optuna")
    page = (Path(CONFIGS).parent / "docs" / "sweeps.md").read_text()
    (code,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)  # mlflow sets it to the last store
    few = [*SMALL, *TINY, f"paths.root={tmp_path}"]
    code = code.replace('"num_phases=20"', ", ".join(map(repr, few)))
    found: dict[str, Any] = {}
    exec(code.replace("n_trials=10", "n_trials=2"), found)
    assert len(found["study"].trials) == 2
    assert 0 <= found["study"].best_value <= 1
    assert len([*tmp_path.glob("outputs/search/*/model")]) == 2
