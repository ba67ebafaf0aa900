"""The main job and the evaluation on real photographs in V*Bench's own layout.

No skill is expected of a tiny model there; what must be right is that real files, questions and
boxes go the whole way, that every crop is what its box says, and that the pages show them.
"""

from __future__ import annotations

import base64
import io
import re
from pathlib import Path

import pytest
import torch
from PIL import Image, ImageOps
from transformers import AutoImageProcessor

from tests.integration.door import SMALL, VARIED_REWARD, settings
from vigorl.build import ASSETS, build_parts
from vigorl.core.media import ImageView
from vigorl.evaluate import run_evaluation
from vigorl.evaluation.report import EvaluationReport
from vigorl.rollout.recorder import read_rollouts
from vigorl.train import train

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
FOLDER = DATA / "vstar_mini"

pytestmark = pytest.mark.skipif(
    not DATA.is_dir(), reason="no folder of sample data beside this checkout"
)

# `debug=fast` makes the made world small; other sources have no such keys
BASE = [override for override in SMALL if override != "debug=fast"]
# four of its five files are copies of one picture: four questions to train on, one to judge on
PHOTOGRAPHS = ["data=vstar_folder", f"data.root={FOLDER}", "data.val_frac=0", "data.seed=4"]
PLAN = {"prompts_per_phase": 2, "group_size": 4, "sequences_per_update": 8, "micro_batch_size": 4}
ONE_PHASE = ["num_phases=1", VARIED_REWARD, *(f"plan.{key}={value}" for key, value in PLAN.items())]


def cut(view: ImageView) -> Image.Image:
    """What a view must show, from the file and the record alone."""
    with Image.open(view.path) as file:
        original = ImageOps.exif_transpose(file).convert("RGB")
    assert original.size == (view.original.width, view.original.height)
    assert view.box is not None
    window = original.crop(tuple(round(side) for side in view.box.as_tuple()))
    return window.resize((view.size.width, view.size.height), Image.Resampling.BICUBIC)


def embedded_pngs(page: str) -> set[tuple[tuple[int, int], bytes]]:
    """Size and pixels of every picture that a page embeds without loss."""
    found = set()
    for data in re.findall(r"data:image/png;base64,([A-Za-z0-9+/=]+)", page):
        image = Image.open(io.BytesIO(base64.b64decode(data))).convert("RGB")
        found.add((image.size, image.tobytes()))
    return found


def test_training_and_evaluation_run_through_on_real_photographs(tmp_path: Path) -> None:
    train(settings(tmp_path, *PHOTOGRAPHS, *ONE_PHASE, small=BASE))
    (run,) = (tmp_path / "outputs" / "grpo_vstar").iterdir()
    page = (run / "rollouts" / "train_phase_0000.html").read_text()
    assert "original, the policy sees" in page
    assert page.count("data:image/") >= 2

    def evaluated(*more: str) -> EvaluationReport:
        model = ["model.maker=null", f"model.path={run / 'model'}"]
        said = [*PHOTOGRAPHS, *model, *more, f"paths.run={tmp_path}/{len(more)}"]
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
    overrides = ["data=screenspot", f"data.file={screens}", "env=web_grounding_zoom"]
    all_to_train = ["data.val_frac=0", "data.test_frac=0"]  # there is one screenshot
    metrics = train(
        settings(tmp_path, *overrides, *all_to_train, *ONE_PHASE, "logger=none", small=BASE)
    )
    assert {"reward/total", "rollout/accuracy", "train/loss"} <= metrics.keys()


def test_crops_of_photographs_show_what_their_boxes_say(tmp_path: Path) -> None:
    overrides = [
        "data.as_benchmark=true",
        "engine._target_=tests.integration.door.zooming_engine",
        "zoom.window_px=200",  # shown at 112: cut, then resized
        "limits.max_new_tokens=128",
        f"paths.run={tmp_path}/run",
        "logger=none",
    ]
    cfg = settings(tmp_path, *PHOTOGRAPHS, *overrides, door="evaluate", small=BASE)
    run_evaluation(cfg)
    record = read_rollouts(tmp_path / "run/rollouts.jsonl")
    rollouts = [recorded.scored.rollout for recorded in record]
    assert [len(rollout.turns) for rollout in rollouts] == [3] * 5
    crops = [view for rollout in rollouts for view in rollout.crops]
    assert len({view.key for view in crops}) == 10

    # crops are small enough to be embedded without loss
    shown = embedded_pngs((tmp_path / "run/rollouts.html").read_text())
    images = build_parts(cfg).images
    processor = AutoImageProcessor.from_pretrained(ASSETS / "tiny_start", backend="pil")
    for view in crops:
        wanted = cut(view)
        assert wanted.size == (112, 112)
        assert (wanted.size, wanted.tobytes()) in shown
        patches = processor(images=[wanted], do_resize=False, return_tensors="pt")
        assert torch.equal(images.pixels(view).pixel_values, patches["pixel_values"])
