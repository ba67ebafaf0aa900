from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.diagnosis.machines import settings
from tests.unit.models.small import make_model
from tests.unit.models.test_model_size import qwen_7b
from vigorl.core.errors import ConfigError
from vigorl.diagnosis.plan import plan_rows, policy_of, workload_of
from vigorl.diagnosis.plan_flags import Asked, split_flags

FULL = ["scale=qwen2_5_vl_7b", "strategy=zero3", "trainer.devices=8", "trainer.accelerator=cpu"]


def seconds(*overrides: str, asked: Asked) -> dict[str, float]:
    rows = plan_rows(settings(*overrides), asked)
    parts = {row.name.strip(): row.text.split() for row in rows}
    return {name: float(words[0]) for name, words in parts.items() if words[1:2] == ["s"]}


def test_flags_are_taken_from_the_command_line() -> None:
    said = ["seed=1", "--plan", "--device", "h100", "--turns=2.5", "scale=tiny", "--cfg", "job"]
    asked, others = split_flags(said)
    assert asked == Asked("h100", turns=2.5)
    assert others == ["seed=1", "scale=tiny", "--cfg", "job"]
    assert split_flags(["--turns=3"]) == (None, ["--turns=3"])


@pytest.mark.parametrize("wrong", ["--device=abacus", "--turns=0", "--tokens=nan"])
def test_a_flag_that_means_nothing_is_refused(wrong: str) -> None:
    with pytest.raises(SystemExit):
        split_flags(["--plan", wrong])


def test_a_full_scale_is_planned_for_machines_that_are_not_here(tmp_path: Path) -> None:
    said = [*FULL, f"model.path={qwen_7b(tmp_path / 'seven')}"]
    found = seconds(*said, asked=Asked("a100", turns=3, tokens=120))
    parts = (
        "read", "see", "decode", "tools", "features", "logprob", "update", "optimizer", "publish",
        "other",
    )  # fmt: skip
    assert [*found] == [*parts, "all"]
    assert found["all"] == pytest.approx(sum(found[name] for name in parts), rel=0.01)
    rows = {row.name.strip(): row.text for row in plan_rows(settings(*said), Asked("h100"))}
    assert "128 x 8 rollouts, 5 turns of 1024 tokens, at most" in rows["phase"]
    assert "8 x h100 of 989.5 TFLOP/s" in rows["phase"]
    assert "update, bound by arithmetic" in rows["all"]
    assert seconds(*said, asked=Asked("h100", turns=3, tokens=120))["update"] < found["update"]


def test_the_workload_is_that_of_the_settings() -> None:
    cfg = settings("plan.prompts_per_phase=16", "plan.sequences_per_update=64", "kl_coef=0.1")
    work = workload_of(cfg, Asked(turns=2, prompt=40), policy_of(cfg))
    assert (work.prompts, work.group_size, work.updates) == (16, 8, 2)
    assert (work.turns, work.turn_tokens, work.text_tokens) == (2, 64, 40)
    assert work.picture.patches == (112 // 14) ** 2
    assert work.reads == 2  # the start's logprobs, with two updates, and the reference's
    assert work.whole_reads == 1
    assert work.has_turn_barrier


def test_every_tools_pictures_are_in_the_workload() -> None:
    """Of their own size, of a tool within a tool, or as large as pictures may be."""
    found = {}
    for tool in ("zoom_box", "zoom_box_blind", "zoom_box_vlm_r3", "measure_distance"):
        cfg = settings("env=tools", f"tools=[{tool}]")
        found[tool] = workload_of(cfg, Asked(), policy_of(cfg)).crop.patches
        whole = workload_of(cfg, Asked(), policy_of(cfg)).picture.patches
    side_px = settings("env=tools", "tools=[zoom_box]").env.tools[0].view_px
    assert found["zoom_box"] == found["zoom_box_blind"] == (side_px // 14) ** 2
    assert found["zoom_box_vlm_r3"] == whole
    assert found["measure_distance"] == 0


def test_parts_that_travel_and_places_that_are_filled_again_are_in_the_workload() -> None:
    together = ["model.packing=true", "model.context_parallel=2"]
    cfg = settings("strategy=fsdp2", "trainer.devices=2", "engine.refill=true", *together)
    work = workload_of(cfg, Asked(), policy_of(cfg))
    assert (work.zero_stage, work.has_turn_barrier, work.together) == (3, False, 2)


def advised(*overrides: str) -> list[str]:
    """The settings that rows suggest, without what they would take."""
    rows = plan_rows(settings(*overrides), Asked("a100", turns=3, tokens=120))
    return [row.text.rpartition(" ")[0].rpartition(" ")[0] for row in rows if "with" in row.name]


def test_rows_are_padded_but_for_packed_ones_and_micro_batches_filled_by_tokens() -> None:
    short, base = Asked(turns=2, tokens=10), ["plan.prompts_per_phase=8"]
    base += ["plan.sequences_per_update=64", "plan.micro_batch_size=8"]
    cfg = settings(*base)
    work = workload_of(cfg, short, policy_of(cfg))
    mean, longest = work.sequence_tokens(4), work.sequence_tokens(4) - 2 * 10 + 5 * 64 + 3 * 16
    assert work.row_tokens == pytest.approx(mean + (longest - mean) * 7 / 63)

    packed = settings(*base, "model.packing=true")
    assert workload_of(packed, short, policy_of(packed)).row_tokens is None
    filled = settings(*base, "model.packing=true", "plan.micro_batch_tokens=500")
    work = workload_of(filled, short, policy_of(filled))
    assert (work.row_tokens, work.micro_batch_size) == (None, 500 / mean)
    most = settings(*base, "model.packing=true", "plan.micro_batch_tokens=100000")
    assert workload_of(most, short, policy_of(most)).micro_batch_size == 8


def test_overlap_hides_what_servers_do_and_nothing_on_the_trainers_own_device() -> None:
    said = ["overlap=one_step", "engine=server", "engine.urls=[http://host:1]"]
    rows = plan_rows(settings(*said), Asked("a100"))
    assert "generating on 1 x a100 of its own" in next(r.text for r in rows if r.name == "overlap")
    hidden = {row.name.strip() for row in rows if row.text.endswith(", hidden")}
    assert hidden in (
        {"read", "see", "decode", "tools", "other"}, {"features", "logprob", "update", "optimizer"}
    )  # fmt: skip
    for others in (["overlap=one_step"], [*said, "overlap.in_background=false"]):
        cfg = settings(*others)
        assert not workload_of(cfg, Asked(), policy_of(cfg)).overlaps


def test_only_what_a_model_can_take_is_advised(tmp_path: Path) -> None:
    large = [*FULL, f"model.path={qwen_7b(tmp_path / 'seven')}"]
    shares = "model.packing=true model.shared_prefix=true plan.micro_batch_size=8"
    assert advised(*large) == [shares, "model.gradient_checkpointing=false"]
    packed = advised(*large, "model.packing=true", "plan.micro_batch_size=16")
    assert packed[0] == "model.shared_prefix=true"
    make_model("qwen3_5").config.save_pretrained(tmp_path / "linear")
    for unable in (
        "model.attn_implementation=eager",
        "plan.sequences_per_update=32",  # four on each of eight ranks are no group
        f"model.path={tmp_path / 'linear'}",
    ):
        assert not any("shared_prefix" in one for one in advised(*large, unable))


def test_what_has_no_phases_or_no_such_rollouts_is_refused() -> None:
    with pytest.raises(ConfigError, match="phases of rollouts"):
        plan_rows(settings("experiment=sft_from_mcts", "data.path=x"), Asked("h100"))
    with pytest.raises(ConfigError, match=r"--turns=7 --tokens=64 are more than limits\.max_turns"):
        plan_rows(settings(), Asked("h100", turns=7))
