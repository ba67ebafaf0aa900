"""The doors in this process: train, evaluate, export."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.integration.door import (
    NO_LOOKS,
    UNTRAINED,
    VARIED_REWARD,
    has_several_turns,
    history,
    only_run,
    same_weights,
    settings,
    start_weights,
    store,
    weights,
)
from vigorl.core.errors import ConfigError, DataError, EngineError
from vigorl.evaluate import run_evaluation
from vigorl.evaluation.report import EvaluationReport
from vigorl.model_sources import export
from vigorl.models.policy import Policy
from vigorl.models.shared_prefix import SharedPacking
from vigorl.rollout.engines.hf import HFEngine
from vigorl.train import train

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The root of one GRPO run of two phases; its run is in `run`."""
    root = tmp_path_factory.mktemp("grpo")
    train(settings(root, f"paths.run={root}/run", VARIED_REWARD))
    return root


def artifacts(root: Path, folder: str | None = None) -> set[str]:
    found = store(root).list_artifacts(only_run(root).info.run_id, folder)
    return {artifact.path for artifact in found}


def test_accuracy_is_measured_before_the_first_update_and_after_the_last(trained: Path) -> None:
    assert [step for step, _ in history(trained, "val/accuracy")] == [0, 1, 2]


def test_every_update_is_logged(trained: Path) -> None:
    for name in ("train/loss", "train/grad_norm", "train/entropy", "train/lr"):
        assert len(history(trained, name)) == 2, name
    for name in ("reward/total", "rollout/accuracy", "time/generate_s", "time/update_s"):
        assert len(history(trained, name)) == 2, name
    assert all(norm > 0 for _, norm in history(trained, "train/grad_norm"))


def test_rollouts_have_several_turns_and_crops(trained: Path) -> None:
    assert has_several_turns(trained)


def test_one_update_per_phase_is_on_policy_and_engine_and_trainer_agree(trained: Path) -> None:
    assert [value for _, value in history(trained, "train/ratio_max")] == [1.0, 1.0]
    assert max(gap for _, gap in history(trained, "kl/sampling_gap_max")) < 1e-4


def test_prompts_and_pictures_that_are_read_once_teach_the_same(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = []
    of = SharedPacking.of

    def noted(ids: Tensor, mask: Tensor, pictures: Tensor) -> SharedPacking:
        found = of(ids, mask, pictures)
        read.append((int(found.is_own.sum()), int(mask.sum())))
        return found

    monkeypatch.setattr(SharedPacking, "of", noted)
    encoded: list[int] = []
    monkeypatch.setattr(Policy, "encode_views", lambda *pixels: encoded.append(1))
    sharing = ["model.packing=true", "model.shared_prefix=true", "plan.micro_batch_size=4"]
    sharing += ["rollout.reuse_features=true", "rollout.alignment=null"]
    sharing += ["callbacks.rollout_logger.tokens=false"]  # which encodes for itself
    train(settings(tmp_path, VARIED_REWARD, *NO_LOOKS, *sharing))
    assert not encoded
    assert sum(own for own, _ in read) < 0.8 * sum(num for _, num in read)
    for name in ("train/loss", "train/grad_norm", "train/entropy", "kl/sampling_vs_train"):
        (_, expected), (_, found) = history(trained, name)[0], history(tmp_path, name)[0]
        assert found == pytest.approx(expected, rel=1e-4, abs=1e-6), name


def test_the_run_says_what_it_was(trained: Path) -> None:
    run = only_run(trained)
    assert run.info.status == "FINISHED"
    assert run.data.params["plan.group_size"] == "4"
    assert run.data.params["version.torch"] == torch.__version__.split("+")[0] or torch.__version__
    assert len(run.data.params["data/train_tasks"]) == 16  # hex digits of the data's hash
    assert len(run.data.tags["git.commit"].rstrip("+")) in (40, len("unknown"))


def test_pages_config_and_model_are_artifacts(trained: Path) -> None:
    assert {"config.yaml", "rollouts"} <= artifacts(trained)
    assert "rollouts/train_phase_0001.html" in artifacts(trained, "rollouts")
    assert "rollouts/val_phase_0002.html" in artifacts(trained, "rollouts")
    (model,) = store(trained).search_logged_models([only_run(trained).info.experiment_id])
    files = store(trained).list_logged_model_artifacts(model.model_id)
    assert "model.safetensors" in {one.path for one in files}
    assert "1_overview/1_val_accuracy" in {one.key for one in model.metrics}
    assert (trained / "run/rollouts/train_phase_0000.jsonl").read_text().count("\n") >= 8


def test_the_model_learned_and_loads_again(trained: Path) -> None:
    start = start_weights()
    now = weights(trained / "run/model")
    moved = {name for name in now if not torch.equal(now[name], start[name])}
    assert moved
    assert not any("visual" in name for name in moved)  # the tower is frozen
    again = Policy.from_pretrained(trained / "run/model", dtype="float32")
    assert torch.equal(again.model.get_input_embeddings().weight, now[_embedding(now)])


def _embedding(found: dict[str, Any]) -> str:
    (name,) = [name for name in found if name.endswith("embed_tokens.weight")]
    return name


def test_a_checkpoint_exports_to_the_same_model(trained: Path, tmp_path: Path) -> None:
    export(str(trained / "run/checkpoints/phase-00002.ckpt"), str(tmp_path / "last"))
    assert same_weights(weights(tmp_path / "last"), weights(trained / "run/model"))
    export(str(trained / "run/checkpoints/phase-00001.ckpt"), str(tmp_path / "first"))
    assert not same_weights(weights(tmp_path / "first"), weights(trained / "run/model"))


def test_export_says_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"absent\.ckpt"):
        export(str(tmp_path / "absent.ckpt"), str(tmp_path / "model"))
    (tmp_path / "phase-00001.ckpt").touch()
    with pytest.raises(ConfigError, match=r"config\.yaml is missing"):
        export(str(tmp_path / "phase-00001.ckpt"), str(tmp_path / "model"))


def test_the_trained_model_can_be_evaluated(trained: Path) -> None:
    run = trained / "evaluated"
    overrides = [
        f"model.path={trained}/run/model",
        f"paths.run={run}",
        "limit=3",
    ]
    overrides += [f"logger.tracking_uri=sqlite:///{run}/mlflow.db"]
    report = run_evaluation(settings(trained, *overrides, door="evaluate"))
    assert EvaluationReport.from_json((run / "report.json").read_text()).accuracy == report.accuracy
    assert (run / "rollouts.html").is_file()
    assert len((run / "rollouts.jsonl").read_text().splitlines()) >= 3


@pytest.mark.parametrize(
    "experiment",
    [
        "grpo_vstar_single_turn",
        "grpo_vstar_no_grounding",
        "grpo_vstar_no_diversity",
        "grpo_vstar_no_warm_start",
        "grpo_vstar_released_reward",
    ],
)
def test_controls_run(experiment: str, tmp_path: Path) -> None:
    # without a start all are as long as may be
    short = ["num_phases=1", "limits.max_new_tokens=24"]
    metrics = train(settings(tmp_path, f"experiment={experiment}", "logger=none", *short))
    assert {"val/accuracy", "reward/total", "train/loss"} <= metrics.keys()


def test_a_merger_learns_behind_a_frozen_tower(tmp_path: Path) -> None:
    train(
        settings(
            tmp_path, VARIED_REWARD, "model.freeze_merger=false", "optimizer.warmup_frac=0",
            "max_epochs=1", f"paths.run={tmp_path}/run", "logger=none", *NO_LOOKS,
        )
    )  # fmt: skip
    start, now = start_weights(), weights(tmp_path / "run/model")
    moved = {name for name in now if not torch.equal(now[name], start[name])}
    assert {"merger" in name for name in moved if "visual" in name} == {True}


def test_kl_to_the_start_checkpoint(tmp_path: Path) -> None:
    train(settings(tmp_path, VARIED_REWARD, *NO_LOOKS, "kl_coef=0.5", "optimizer.warmup_frac=0"))
    before, after = (value for _, value in history(tmp_path, "kl/ref"))
    assert before == pytest.approx(0.0, abs=1e-9)  # the policy still is the reference
    assert after > 1e-9


def test_several_updates_per_phase_leave_the_policy_that_sampled(tmp_path: Path) -> None:
    half = ["plan.sequences_per_update=4", "plan.micro_batch_size=2", "optimizer.warmup_frac=0"]
    train(settings(tmp_path, VARIED_REWARD, *NO_LOOKS, *half))
    ratios = [value for _, value in history(tmp_path, "train/ratio_max")]
    assert len(ratios) == 4  # 2 phases x 8 rollouts / 4
    assert ratios[0] == pytest.approx(1.0, abs=1e-5)
    assert ratios[1] > 1.0001
    assert ratios[2] == pytest.approx(1.0, abs=1e-5)


def test_micro_batches_of_so_many_tokens_learn_the_same(tmp_path: Path) -> None:
    work = [VARIED_REWARD, "kl_coef=0.5", "optimizer.warmup_frac=0", "plan.micro_batch_size=8"]
    budget = ["model.packing=true", "plan.micro_batch_tokens=400"]
    folders = [tmp_path / "plain", tmp_path / "budget"]
    for folder, more in zip(folders, ([], budget), strict=True):
        train(settings(folder, *work, *NO_LOOKS, *more, f"paths.run={folder}/run"))
    for name in ("train/loss", "train/grad_norm", "kl/ref"):
        plain, by_tokens = ([value for _, value in history(one, name)] for one in folders)
        assert by_tokens == pytest.approx(plain, rel=1e-3, abs=1e-6), name
    assert history(folders[0], "perf/padding_frac")[0][1] > 0.0
    assert history(folders[1], "perf/padding_frac")[0][1] == 0.0


def test_gspo_clips_whole_sequences_from_the_second_update_on(tmp_path: Path) -> None:
    half = ["plan.sequences_per_update=4", "plan.micro_batch_size=2", "optimizer.warmup_frac=0"]
    train(settings(tmp_path, VARIED_REWARD, *NO_LOOKS, "algorithm=gspo", *half))
    ratios = [value for _, value in history(tmp_path, "train/ratio_max")]
    assert ratios[0] == pytest.approx(1.0, abs=1e-5)
    assert ratios[1] > 1.0001  # of a token; the bounds hold the mean over its sequence
    low, high = (history(tmp_path, f"clip/{side}_frac") for side in ("low", "high"))
    assert low[0][1] == high[0][1] == 0.0
    assert low[1][1] + high[1][1] > 0.0


def test_a_phase_in_which_all_is_cut_off_teaches_nothing(tmp_path: Path) -> None:
    cut_off = ["algorithm.mask_truncated=true", "limits.max_new_tokens=2"]
    train(settings(tmp_path, VARIED_REWARD, *NO_LOOKS, *cut_off, f"paths.run={tmp_path}/run"))
    assert [value for _, value in history(tmp_path, "rollout/truncated_frac")] == [1.0, 1.0]
    assert [value for _, value in history(tmp_path, "train/empty_update_frac")] == [1.0, 1.0]
    assert [value for _, value in history(tmp_path, "train/loss")] == [0.0, 0.0]
    assert same_weights(weights(tmp_path / "run/model"), start_weights())


SFT = [
    "experiment=sft_vstar",
    "stages=null",
    "data.num_traces=16",
    "pixels.cache_bytes=100000000",
    "max_epochs=3",
    "traces.sequences_per_update=8",
    "traces.micro_batch_size=4",
    "+rollout.eval_limit=2",
]


def test_fine_tuning_lowers_the_loss(tmp_path: Path) -> None:
    train(settings(tmp_path, *SFT, *UNTRAINED, f"paths.run={tmp_path}/run"))
    losses = [value for _, value in history(tmp_path, "train/loss")]
    assert len(losses) >= 6
    assert losses[-1] < losses[0]
    assert len(history(tmp_path, "val/accuracy")) == 4  # before the first, and after each of three
    Policy.from_pretrained(tmp_path / "run/model", dtype="float32")


# ---- wrong input ---------------------------------------------------------------------------------


def world(root: Path) -> Path:
    """A made world that a run in `root` will find."""
    from hydra.utils import instantiate

    cfg = settings(root)
    instantiate(cfg.data).prepare()
    return Path(cfg.data.root)


def test_a_missing_picture_is_named_with_its_line(tmp_path: Path) -> None:
    folder = world(tmp_path)
    victim = sorted((folder / "images").glob("task-*.png"))[3]
    victim.unlink()
    with pytest.raises(DataError, match=victim.name) as caught:
        train(settings(tmp_path, "logger=none"))
    assert "train_RL.jsonl" in str(caught.value)


def test_a_truncated_picture_is_named(tmp_path: Path) -> None:
    folder = world(tmp_path)
    for victim in (folder / "images").glob("task-*.png"):
        victim.write_bytes(victim.read_bytes()[:500])
    with pytest.raises(DataError, match=r"task-0000\d\.png"):
        train(settings(tmp_path, "logger=none"))


def test_a_bad_line_is_named(tmp_path: Path) -> None:
    path = world(tmp_path) / "train_RL.jsonl"
    lines = path.read_text().splitlines()
    lines[2] = lines[2][:-5]
    path.write_text("\n".join(lines))
    with pytest.raises(DataError, match=r"train_RL\.jsonl:3: "):
        train(settings(tmp_path, "logger=none"))


def test_a_box_off_the_picture_is_named(tmp_path: Path) -> None:
    path = world(tmp_path) / "train_RL.jsonl"
    lines = path.read_text().splitlines()
    row = json.loads(lines[1])
    row["targets"][0] = [430, 10, 460, 40]
    lines[1] = json.dumps(row)
    path.write_text("\n".join(lines))
    with pytest.raises(DataError, match=r"train_RL\.jsonl:2: .*targets.* 448x448 picture"):
        train(settings(tmp_path, "logger=none"))


class DyingEngine(HFEngine):
    """Dies at the first poll of the first training phase."""

    def poll(self) -> Any:
        if self.policy_version == 0 and self.num_in_flight == 8:
            raise EngineError("out of memory")
        return super().poll()


def test_a_dead_engine_stops_the_run_and_says_where(tmp_path: Path) -> None:
    engine = "engine._target_=tests.integration.test_train.DyingEngine.from_pretrained"
    with pytest.raises(EngineError, match=r"phase train/0: .* 0 of 8 rollouts .*: out of memory"):
        train(settings(tmp_path, engine, "logger=none"))


def test_resuming_what_is_no_run_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is not a run's folder"):
        train(settings(tmp_path, f"resume={tmp_path}"))
