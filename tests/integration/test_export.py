"""What a run with adapters leaves behind: a plain model, also from its checkpoints."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.integration.door import (
    NO_LOOKS,
    VARIED_REWARD,
    same_weights,
    settings,
    start_weights,
    weights,
)
from vigorl.core.digests import check_digests
from vigorl.model_sources import as_folder, export
from vigorl.train import train

pytestmark = pytest.mark.slow


def test_a_checkpoint_with_adapters_exports_to_the_merged_model(tmp_path: Path) -> None:
    lora = "model.lora={_target_:vigorl.models.lora.LoraSettings,rank:4,target_modules:[q_proj]}"
    run = tmp_path / "run"
    quick = [*NO_LOOKS, "logger=none", "optimizer.warmup_frac=0"]
    train(settings(tmp_path, VARIED_REWARD, lora, *quick, f"paths.run={run}"))
    export(str(run / "checkpoints/phase-00002.ckpt"), str(tmp_path / "exported"))
    begun = as_folder(
        str(run / "checkpoints/phase-00002.ckpt"), into=tmp_path / "begun", dtype="float32"
    )
    assert same_weights(weights(Path(begun)), weights(run / "model"))
    exported, start = weights(tmp_path / "exported"), start_weights()
    assert same_weights(exported, weights(run / "model"))
    moved = {name for name in start if not exported[name].equal(start[name])}
    assert moved
    assert all(name.endswith("q_proj.weight") for name in moved)
    for folder in (run / "model", tmp_path / "exported"):  # others ask it as it was trained
        assert check_digests(folder)
        assert '{{ "Point, zoom, then answer." }}' in (folder / "chat_template.jinja").read_text()
