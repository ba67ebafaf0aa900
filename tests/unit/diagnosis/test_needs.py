"""Settings against machines that are not here."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.unit.diagnosis.machines import failures, machine, settings
from tests.unit.models.test_model_size import qwen_7b
from vigorl.core.memory import GIB, When, peak_bytes
from vigorl.diagnosis.machine import Space
from vigorl.diagnosis.memory import (
    answers_beside,
    check_memory,
    check_model,
    learning_load,
    needs,
)
from vigorl.diagnosis.report import Row, Status
from vigorl.doctor import diagnose
from vigorl.dry_run import plan_of
from vigorl.families.lookup import known_families
from vigorl.models.model_size import read_config

TRAINED = 7_615_616_512
ALL = 8_292_166_656


@pytest.fixture
def seven(tmp_path: Path) -> str:
    return f"model.path={qwen_7b(tmp_path / '7b')}"


def test_the_tiny_scale_fits_a_laptop() -> None:
    rows = diagnose(settings("logger=none"), machine())
    assert rows[-1].name == "RAM"
    assert rows[-1].status is Status.OK
    assert rows[-1].text.startswith("fits: ")


def test_too_little_memory_fails_with_what_would_help() -> None:
    last = diagnose(settings("logger=none"), machine(ram_gib=2))[-1]
    assert last.status is Status.FAIL
    assert last.text.startswith("does not fit: needs ")
    assert "there are 2.0: try model.gradient_checkpointing=true" in last.text


def test_memory_that_other_programs_hold_is_a_warning() -> None:
    there = replace(machine(), ram=Space(24 * GIB, GIB))
    last = diagnose(settings("logger=none"), there)[-1]
    assert (last.status, "only 1.0 are free now" in last.text) == (Status.WARN, True)


def test_what_samples_while_it_learns_holds_both_at_once() -> None:
    sizes = []
    for overlap in ("none", "one_step"):
        cfg = settings("experiment=grpo_vstar", f"overlap={overlap}")
        _, model = check_model(cfg)
        assert model is not None
        sizes.append(peak_bytes(needs(cfg, model, machine()).device))
        items = [item for item in needs(cfg, model, machine()).device if item.when is When.LEARNING]
    assert sizes[0] < sizes[1] <= sizes[0] + max(sizes[0], sum(item.num_bytes for item in items))


def test_weights_that_travel_in_bfloat16_are_whole_in_it(seven: str) -> None:
    base = [
        "scale=qwen2_5_vl_7b", seven, "strategy=fsdp2", "trainer.devices=8",
        "trainer.precision=bf16-mixed",
    ]  # fmt: skip
    found = []
    for dtype in ("null", "bfloat16"):
        cfg = settings(*base, f"strategy.gather_dtype={dtype}")
        _, model = check_model(cfg)
        assert model is not None
        items = needs(cfg, model, machine(gpus=8)).device
        found.append({item.name: item.num_bytes for item in items})
    assert found[1]["whole layers"] == found[0]["whole layers"] / 2
    assert found[0].keys() - found[1].keys() == {"autocast copies"}


def test_micro_batches_by_tokens_are_filled_up_by_shorter_sequences(seven: str) -> None:
    """As many as hold the budget when each is at its longest, rounded up; what they share once."""
    base = ["scale=qwen2_5_vl_7b", seven, "model.packing=true", "plan.micro_batch_size=64"]
    tokens, sequences = {}, {}
    for name, more in {
        "tokens": ["plan.micro_batch_tokens=16384"],
        "shared": ["plan.micro_batch_tokens=16384", "model.shared_prefix=true"],
    }.items():
        cfg = settings(*base, *more)
        _, model = check_model(cfg)
        assert model is not None
        load = learning_load(cfg, model)
        assert load is not None
        sequences[name] = load.micro_batch_size
        tokens[name] = load.micro_batch_size * load.sequence_tokens - load.shared_tokens
    assert all(16384 <= num < 16384 + 20000 for num in tokens.values())
    assert sequences["shared"] > sequences["tokens"] >= 1


def test_ranks_that_read_together_keep_less_of_rows_and_more_pictures(seven: str) -> None:
    base = ["scale=qwen2_5_vl_7b", seven, "model.packing=true", "trainer.devices=8"]
    base += ["strategy=fsdp2", "model.vision_cache_bytes=null"]
    found = []
    for size in (1, 4, 8):
        cfg = settings(*base, f"model.context_parallel={size}")
        rows, model = check_model(cfg)
        assert model is not None
        found.append({one.name: one.num_bytes for one in needs(cfg, model, machine(gpus=8)).device})
    assert found[1]["activations"] < 0.3 * found[0]["activations"]
    assert found[1]["kept features"] == 4 * found[0]["kept features"]
    assert next(row.text for row in rows if row.status is Status.FAIL).startswith(
        "model.context_parallel=8 must divide the 4 key-value heads"
    )


def test_answers_that_are_learned_from_stand_in_the_same_step() -> None:
    pearl = settings("experiment=recipe_pearl")
    _, model = check_model(pearl)
    assert model is not None
    load = learning_load(pearl, model)
    assert load is not None
    assert load.micro_batch_size == 3 * pearl.plan.micro_batch_size  # each of two signs
    assert plan_of(pearl).endswith("beside each up to 2 answers that are learned from too")
    for said, rows in (("one_prompt=true", [1]), ("coef=0", [])):
        assert (
            answers_beside(settings("experiment=recipe_pearl", f"probes.checklist.{said}")) == rows
        )
    tagged = "probes.checklist.items._target_=vigorl.data.checklists.TaggedChecklist"
    cfg = settings("experiment=recipe_pearl", tagged)
    found = check_memory(cfg, needs(cfg, model, machine()), machine())
    assert [row.text.partition(":")[0] for row in found if row.name == "probes"] == ["not counted"]


def rows_of(there_gpus: int, *overrides: str) -> list[Row]:
    cfg = settings("experiment=grpo_vstar", "scale=qwen2_5_vl_7b", *overrides)
    rows, model = check_model(cfg)
    assert model is not None
    there = machine(gpus=there_gpus, ram_gib=2000)
    return [*rows, *check_memory(cfg, needs(cfg, model, there), there)]


def test_seven_billion_weights_do_not_fit_one_gpu(seven: str) -> None:
    (row,) = [row for row in rows_of(1, seven, "engine=hf") if row.name == "GPU memory"]
    assert row.status is Status.FAIL
    assert "per GPU, there are 79.0: try " in row.text
    assert "engine.max_batch_size=32" in row.text  # hf at its longest: the largest of all
    assert "strategy=zero2 trainer.devices=8" in row.text


def test_seven_billion_weights_fit_eight_gpus_with_zero_and_a_smaller_batch(seven: str) -> None:
    fewer = [
        "engine=hf",
        "engine.max_batch_size=8",
        "+module.logits_chunk_tokens=1024",
        "kl_coef=0",
    ]
    rows = rows_of(8, seven, "strategy=zero3", "trainer.devices=8", *fewer)
    assert failures(rows) == []
    shown = {row.name.strip(): row.text for row in rows}
    assert shown["AdamW moments"].split()[0] == f"{TRAINED / GIB:.3f}"  # 8 bytes over 8 ranks
    assert shown["engine weights"].split()[0] == f"{2 * ALL / GIB:.3f}"
    # loading in float32 takes RAM of all processes before any of them has moved to its GPU
    assert shown["weights while loading"].split()[0] == f"{4 * ALL / GIB:.3f}"


def test_a_critic_is_counted_without_an_output_head(seven: str) -> None:
    shown = {row.name.strip(): row.text for row in rows_of(1, seven, "algorithm=ppo")}
    num = 8 * (TRAINED - 152064 * 3584)
    assert shown["critic's AdamW moments"].split()[0] == f"{num / GIB:.3f}"
    assert "critic's weights" not in {row.name.strip() for row in rows_of(1, seven)}


def test_a_vllm_engine_takes_its_share_of_the_gpu(seven: str) -> None:
    rows = rows_of(1, seven, "engine=vllm", "engine.memory_share=0.5")
    shown = {row.name.strip(): row.text for row in rows}
    assert shown["engine's share"].split()[0] == "39.500"
    assert "KV cache" not in shown
    assert shown["engine's share"].endswith("while sampling")  # it sleeps in updates
    stays = rows_of(1, seven, "engine=vllm", "engine_limits.can_sleep=false")
    assert not {r.name.strip(): r.text for r in stays}["engine's share"].endswith("sampling")


def test_on_a_cpu_vllm_takes_its_weights_and_its_caches() -> None:
    rows = diagnose(settings("logger=none", "engine=vllm"), machine())
    shown = {row.name.strip(): row.text for row in rows}
    weights, keys_and_values, pictures = 9_194_240 / GIB, 1.0, 0.5
    expected = weights + keys_and_values + pictures
    assert shown["engine's share"].strip() == f"{expected:.3f} GiB"


def test_a_server_holds_its_weights_elsewhere(seven: str) -> None:
    rows = rows_of(1, seven, "engine._target_=vigorl.rollout.engines.server.ServerEngine")
    names = {row.name.strip() for row in rows}
    assert "weights" in names
    assert not {"engine weights", "KV cache"} & names


def test_a_folder_without_weights_fails_and_is_measured(seven: str) -> None:
    folder = Path(seven.removeprefix("model.path="))
    assert rows_of(1, seven)[0].status is Status.OK
    (folder / "model.safetensors").unlink()
    (row, *others) = rows_of(1, seven)
    assert row.status is Status.FAIL
    assert "8,292.2 M weights, 676.6 M" in row.text
    assert "no .safetensors" in row.text
    assert others


def test_an_engine_that_cannot_run_the_family_fails(
    monkeypatch: pytest.MonkeyPatch, seven: str
) -> None:
    served = replace(known_families()["qwen2_5_vl"], engines=("server",))
    monkeypatch.setitem(known_families(), "qwen2_5_vl", served)
    (row, _), _ = check_model(settings(seven, "engine=hf"))
    assert (row.name, row.status) == ("engine", Status.FAIL)
    assert row.text == "engine=hf cannot run Qwen2.5-VL; take engine=server"


def test_weights_in_no_folder_are_a_warning(monkeypatch: pytest.MonkeyPatch, seven: str) -> None:
    config, _ = read_config(seven.removeprefix("model.path="))
    monkeypatch.setattr("vigorl.diagnosis.memory.read_config", lambda _: (config, False))
    rows, model = check_model(settings("model.path=owner/name"))
    assert (rows[0].status, "would download" in rows[0].text) == (Status.WARN, True)
    assert model is not None


def test_a_missing_model_fails_and_the_other_rows_are_there(tmp_path: Path) -> None:
    rows = diagnose(settings("logger=none", f"model.path={tmp_path}/gone"), machine())
    assert failures(rows) == ["model"]
    (row,) = [row for row in rows if row.name == "model"]
    assert "gone: no such folder" in row.text
    assert "model.path" in row.text


def test_a_model_that_the_run_makes_is_measured_by_its_source() -> None:
    rows = diagnose(settings("logger=none", "experiment=grpo_vstar_no_warm_start"), machine())
    assert "model" not in failures(rows)


def test_a_start_that_the_run_makes_first_is_a_warning(tmp_path: Path) -> None:
    cfg = settings("logger=none", "data=made_world_cold", f"paths.outputs={tmp_path}")
    rows, model = check_model(cfg)
    assert ([row.status for row in rows], model) == ([Status.WARN], None)
    assert "the run makes it first, by experiment=sft_start" in rows[0].text


def test_an_evaluation_has_no_optimizer() -> None:
    rows = diagnose(settings("logger=none", door="evaluate"), machine())
    names = {row.name.strip() for row in rows}
    assert failures(rows) == []
    assert "KV cache" in names
    assert not {"AdamW moments", "activations"} & names


@pytest.mark.parametrize("scale", ["tiny", "qwen2_5_vl_7b"])
@pytest.mark.parametrize("experiment", ["grpo_vstar", "sft_vstar"])
def test_nothing_the_settings_lack_is_a_crash(seven: str, scale: str, experiment: str) -> None:
    cfg = settings(f"experiment={experiment}", f"scale={scale}", "data=vstar_folder", seven)
    cfg.engine._target_ = "???"
    assert {"settings", "data", "engine", "shared memory"} <= set(
        failures(diagnose(cfg, machine()))
    )


def test_patches_wait_on_the_host_for_the_gpu(seven: str) -> None:
    cfg = settings("scale=qwen2_5_vl_7b", "engine=server", seven)
    _, model = check_model(cfg)
    assert model is not None
    load = learning_load(cfg, model)
    assert load is not None
    host = needs(cfg, model, machine(gpus=1)).host
    (item,) = (one for one in host if one.name == "patches of a step")
    # four patches of 3 x 2 x 14 x 14 float32 numbers to a token, once alone and once joined
    assert item.num_bytes == 2 * load.micro_batch_size * load.picture_tokens * 4 * 1176 * 4
