"""The main job and the evaluation on real photographs in V*Bench's own layout.

No skill is expected of a tiny model there; what must be right is that real files, questions and
boxes go the whole way, and that the pages show them.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.integration.door import SMALL, VARIED_REWARD, settings
from vigorl.evaluate import run_evaluation
from vigorl.train import train

FOLDER = Path(__file__).resolve().parents[3] / "shared" / "data" / "vstar_mini"

pytestmark = pytest.mark.skipif(
    not FOLDER.is_dir(), reason="no V*Bench sample folder beside this checkout"
)


def test_training_and_evaluation_run_through_on_real_photographs(tmp_path: Path) -> None:
    # `debug=fast` makes the made world small; a folder of pictures has no such keys
    base = [override for override in SMALL if override != "debug=fast"]
    overrides = ["data=vstar_folder", f"data.root={FOLDER}"]
    plan = {"prompts_per_phase": 2, "group_size": 4, "sequences_per_update": 8}
    small = [f"plan.{key}={value}" for key, value in plan.items()]
    train(
        settings(
            tmp_path,
            *overrides,
            *small,
            "plan.micro_batch_size=4",
            "num_phases=1",
            VARIED_REWARD,
            small=base,
        )
    )
    (run,) = (tmp_path / "outputs" / "grpo_vstar").iterdir()
    page = (run / "rollouts" / "train_phase_0000.html").read_text()
    assert "original, the policy sees" in page
    assert page.count("data:image/") >= 2

    model = ["model.maker=null", f"model.path={run / 'model'}"]
    report = run_evaluation(settings(tmp_path, *overrides, *model, door="evaluate", small=base))
    assert report.accuracy.num_questions == 5
    assert set(report.by_category) == {"direct_attributes", "relative_position"}
