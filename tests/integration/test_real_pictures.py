"""The main job and the evaluation on real photographs in V*Bench's own layout.

No skill is expected of a tiny model there; what must be right is that real files, questions and
boxes go the whole way, and that the pages show them.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.integration.door import SMALL, VARIED_REWARD, settings
from vigorl.evaluate import run_evaluation
from vigorl.evaluation.report import EvaluationReport
from vigorl.train import train

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
FOLDER = DATA / "vstar_mini"

pytestmark = pytest.mark.skipif(
    not DATA.is_dir(), reason="no folder of sample data beside this checkout"
)

# `debug=fast` makes the made world small; other sources have no such keys
BASE = [override for override in SMALL if override != "debug=fast"]
PLAN = {"prompts_per_phase": 2, "group_size": 4, "sequences_per_update": 8, "micro_batch_size": 4}
ONE_PHASE = ["num_phases=1", VARIED_REWARD, *(f"plan.{key}={value}" for key, value in PLAN.items())]


def test_training_and_evaluation_run_through_on_real_photographs(tmp_path: Path) -> None:
    overrides = ["data=vstar_folder", f"data.root={FOLDER}"]
    train(settings(tmp_path, *overrides, *ONE_PHASE, small=BASE))
    (run,) = (tmp_path / "outputs" / "grpo_vstar").iterdir()
    page = (run / "rollouts" / "train_phase_0000.html").read_text()
    assert "original, the policy sees" in page
    assert page.count("data:image/") >= 2

    def evaluated(*more: str) -> EvaluationReport:
        model = ["model.maker=null", f"model.path={run / 'model'}"]
        said = [*overrides, *model, *more, f"paths.run={tmp_path}/{len(more)}"]
        return run_evaluation(settings(tmp_path, *said, door="evaluate", small=BASE))

    # of the folder it was trained on, the model is asked only what it never saw
    recorded = (run / "rollouts" / "train_phase_0000.jsonl").read_text()
    (asked,) = evaluated().questions
    assert asked.id not in recorded
    whole = evaluated("data.as_benchmark=true")
    assert whole.accuracy.num_questions == 5
    assert set(whole.by_category) == {"direct_attributes", "relative_position"}


def test_web_grounding_trains_on_screenshots(tmp_path: Path) -> None:
    screens = DATA / "screenspot_mini" / "screenspot_web_v2.json"
    overrides = ["data=screenspot", f"data.file={screens}", "task=web_grounding_zoom"]
    all_to_train = ["data.val_frac=0", "data.test_frac=0"]  # there is one screenshot
    metrics = train(
        settings(tmp_path, *overrides, *all_to_train, *ONE_PHASE, "logger=none", small=BASE)
    )
    assert {"reward/total", "rollout/accuracy", "train/loss"} <= metrics.keys()
