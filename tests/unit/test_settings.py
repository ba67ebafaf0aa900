"""Every setting has a type and a range; what means nothing is refused by its key."""

from __future__ import annotations

import dataclasses
import math
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any
from zlib import crc32

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig, OmegaConf
from pydantic import TypeAdapter

from vigorl.core.errors import ConfigError
from vigorl.resolvers import CONFIGS, register_resolvers
from vigorl.settings import check_values, refuse_missing
from vigorl.settings.kinds import MOST_THREADS
from vigorl.settings.stated import STATED, code_of, stated_by

register_resolvers()

HUGE = 10**30
NONSENSE: list[Any] = [-1, 1.5, math.nan, "maybe", HUGE, [], True, 0, None]
ALGORITHMS = "vigorl.training.algorithms"
SHIPPED = sorted({
    target
    for path in Path(CONFIGS).rglob("*.yaml")
    for target in re.findall(r"_target_: (vigorl\.[\w.]+)", path.read_text(encoding="utf-8"))
    if target.startswith(STATED)
})  # fmt: skip
FAMILIAR = {  # command lines that together bring every group and every choice with keys of its own
    "train": [
        [],
        ["experiment=sft_vstar", "reward=vlm_r3"],
        ["experiment=sft_from_mcts", "data.path=x.jsonl", "reward=look_less"],
        [
            "scale=qwen2_5_vl_7b", "engine=server", "sampler=solve_rate", "strategy=zero2",
            "early_stop=val_accuracy", "signals=[visual_dependency]", "groups=dynamic_sampling",
            "profile=on",
            "reward=curiosity",
            "probes=[crop_black,caption_answer,checklist,critique,facts_judge,tool_need]",
            "probes.facts_judge.urls=[http://host:1]", "probes.facts_judge.model=wise",
            "+probes.checklist.items.tag=x", "+probes.critique.critic.says_where=false",
            "algorithm.kl_coef=0.1",
            "kl_schedule={_target_: vigorl.training.kl_schedule.CosineKL, end: 0.0}",
            f"algorithm.prompt_factor={{_target_: {ALGORITHMS}.prompt_factor.ByProbe, "
            "number: checklist, most: 0.5, default: 1.0}",
        ],
        ["data=released_files", "reward=vigorl_released", "strategy=ddp", "algorithm=gigpo"],
        [
            "algorithm=rloo", "reward=turns",
            f"algorithm.kl_control={{_target_: {ALGORITHMS}.adaptive_kl.AdaptiveKL, target: 0.1, "
            "horizon: 10000.0}",
            f"algorithm.prompt_factor={{_target_: {ALGORITHMS}.prompt_factor.ByTag, tag: x, "
            "factors: {easy: 1.0}, default: 1.0}",
            "module.moving_reference={_target_: vigorl.training.moving_reference.MovingReference, "
            "alpha: 0.6, every: 16}",
        ],
        ["algorithm=reinforce_pp"],
        ["algorithm=bilevel_gae"],
        [
            "data=released_files", "reward=vigorl_released", "strategy=ddp", "entropy=target",
            "exploration=vogue",
        ],
        [
            "data=vstar_folder", "data.root=x", "engine=vllm", "algorithm=gspo", "entropy=bonus",
            "guard=switch", "exploration=temperature", "reward=vlm_r1_detection",
        ],
        [
            "guests=visurf", "sft_mix=chord_mu", "answers@guests.answers=file",
            "guests.answers.path=x", "algorithm=distillation", "model.teacher=x",
            "signals=[region_to_whole]",
        ],
        ["algorithm=mpo", "pairs.rollouts=x"],
        ["reward=pebr_r1", "algorithm=vppo"],
        ["overlap=one_step"],
    ],
    "evaluate": [
        ["reward=visual_programmability"],
        ["benchmark=vstar", "data.root=x", "reward=soft_overlong"],
        ["data=screenspot", "data.file=x", "reward=length_penalty", "inference=entropy"],
        ["inference=medoid"],
        ["inference=verifier"],
        [
            "inference=choice_judge", "inference.judge.urls=[http://host:1]",
            "inference.judge.model=wise",
        ],
    ],
    "synthesize": [[], ["check=judge", "check.urls=[http://host:1]", "check.model=wise"]],
    "demo": [[]],
    "serve": [["api_key_env=x", "served_as=x"]],
    "export": [["checkpoint=a", "folder=b"]],
}  # fmt: skip


def composed(door: str, *overrides: str) -> DictConfig:
    with initialize_config_dir(CONFIGS, version_base="1.3"):
        return compose(door, list(overrides))


@pytest.mark.parametrize(
    ("door", "said", "line"),
    [
        ("train", "seed=1.5", "seed must be a whole number from 0 to 2^32-1, got 1.5"),
        ("train", "num_phases=-1", "num_phases must be a whole number from 1 on, got -1"),
        ("train", "gradient_clip=-1", "gradient_clip must be a finite number above 0, got -1"),
        ("train", "optimizer.weight_decay=-1", "optimizer.weight_decay must be a share"),
        ("train", "optimizer.lr=nan", "optimizer.lr must be above 0 and up to 1, got nan"),
        ("train", "algorithm.scale_by_std=7", "algorithm.scale_by_std must be true or false"),
        ("train", "algorithm.mask_truncated=maybe", "algorithm.mask_truncated must be true or"),
        ("train", "+rollout.eval_limit=-1", "rollout.eval_limit must be a whole number from 1"),
        ("train", "pixels.max_pixels=1", "pixels.max_pixels must be 784 pixels"),
        ("train", "pixels.min_pixels=99999", "pixels.min_pixels must not be above pixels.max_pix"),
        ("train", "data.comparison_frac=2", "data.comparison_frac must be a share, from 0 to 1"),
        ("train", f"num_threads={HUGE}", f"num_threads must be 1 to {MOST_THREADS}"),
        ("train", "num_threads=100000", f"num_threads must be 1 to {MOST_THREADS} on this mach"),
        ("train", "trainer.devices=0", "trainer.devices must be a whole number from 1 on, got 0"),
        ("train", "plan.micro_batch_size=0", "plan.micro_batch_size must be a whole number"),
        ("train", "plan=3", "plan must be a group of settings, got 3"),
        ("train", "+limits.max_turn=3", "there is no setting limits.max_turn; did you mean limits"),
        ("train", "model.dtype=float8", "model.dtype must be 'float64', 'float32', 'float16' or"),
        ("train", "env.prompt.form=zoom", "env.prompt.form must be 'tools', 'reply', 'think' or"),
        ("train", "+x=${nothing}", "x: InterpolationKeyError: Interpolation key 'nothing'"),
        (
            "train",
            "trainer.use_distributed_sampler=true",
            "trainer.use_distributed_sampler must be",
        ),
        ("train", "paths.root='50%/a'", "paths.outputs must have no % and no ? in its name"),
        ("train", "paths.root='what?'", "paths.outputs must have no % and no ? in its name"),
        ("synthesize", "search.exploration=nan", "search.exploration must be a finite number"),
        ("synthesize", "budget.max_seconds=nan", "budget.max_seconds must be a finite number"),
        ("train", "+early_stop={min_delta: nan}", "early_stop.min_delta must be a finite number"),
        ("evaluate", "split=tests", "split must be 'train', 'val' or 'test', got 'tests'"),
        ("export", "dtype=half", "dtype must be 'float64', 'float32', 'float16' or 'bfloat16'"),
    ],
)
def test_a_value_that_means_nothing_is_refused_by_its_key(door: str, said: str, line: str) -> None:
    with pytest.raises(ConfigError) as caught:
        check_values(composed(door, said))
    assert str(caught.value).startswith(line)
    assert "\n" not in str(caught.value)


ROLLOUTS, TRACES = "experiment=grpo_vstar", "experiment=sft_vstar"


@pytest.mark.parametrize(
    ("door", "said", "line"),
    [
        ("train", [ROLLOUTS, "env.temperature=0"], "env.temperature must be above 0 where rollou"),
        ("train", ["algorithm=gspo", "env.temperature=0.0"], "env.temperature must be above 0"),
        ("train", ["plan.group_size=1"], "plan.group_size must be a whole number from 2 on, got 1"),
        ("train", ["plan.sequences_per_update=7"], "plan.sequences_per_update=7 must divide"),
        ("train", ["algorithm.clip_low=1.5"], "algorithm.clip_low must be above 0 and below 1, go"),
        ("train", ["algorithm.clip_high=0"], "algorithm.clip_high must be a finite number above 0"),
        ("train", ["algorithm.dual_clip=1.1"], "algorithm.dual_clip must be above 1 + clip_high"),
        ("train", ["algorithm.kl_estimator=k3_corrected"], "algorithm.kl_estimator has no effect"),
        (
            "train",
            ["kl_coef=0.1", "algorithm.reward_kl_coef=0.1"],
            "algorithm.kl_coef=0.1 and algorithm.reward_kl_coef=0.1 would pay the KL twice",
        ),
        ("train", ["kl_schedule={end: 0.0}"], "kl_schedule has no effect with algorithm.kl_coef=0"),
        (
            "train",
            ["module.moving_reference={alpha: 0.5, every: 1}"],
            "module.moving_reference has no effect with algorithm.kl_coef=0",
        ),
        (
            "train",
            ["algorithm.scale_by_std=false", "algorithm.min_std=0.1"],
            "algorithm.min_std has no effect with algorithm.scale_by_std=false",
        ),
        ("train", ["algorithm.constant_length=9"], "constant_length has no effect with normaliz"),
        (
            "train",
            ["algorithm.kl_coef=0.1", "algorithm.kl_estimator=k1"],
            "algorithm.kl_estimator=k1 holds nothing",
        ),
        ("train", ["algorithm=gspo", "algorithm.clip_high=0.28"], "algorithm.clip_low=0.0003, al"),
        ("train", ["algorithm=clip_cov", "algorithm.cov_low=5"], "algorithm.cov_low=5 must be bel"),
        (
            "train",
            ["scale=full", "algorithm=cispo", "algorithm.anchor=rollout"],
            "algorithm.anchor=rollout with importance_correction would count the gap",
        ),
        (
            "train",
            ["algorithm=reinforce", "importance_correction={level: token}"],
            "importance_correction beside algorithm.max_weight=2 would count",
        ),
        (
            "train",
            ["algorithm=vespo", "algorithm.anchor=old", "importance_correction={level: token}"],
            "importance_correction beside algorithm=vespo would count",
        ),
        (
            "train",
            ["signals=[visual_dependency]", "signals.visual_dependency.change=patches"],
            "signals.visual_dependency.change=patches needs",
        ),
        (
            "train",
            ["signals=[visual_dependency]", "signals.visual_dependency.black_frac=0.5"],
            "signals.visual_dependency.black_frac has no effect with",
        ),
        ("train", ["scale=full", "env.top_p=0.9"], "env.top_p=0.9 with importance_correction"),
        ("train", ["early_stop=val_nll"], "early_stop.metric=val/nll is of SFT"),
        ("train", ["data.num_train=0"], "data.num_train must be at least 1"),
        ("train", [TRACES, "data.num_traces=0"], "data.num_traces must be at least 1"),
        ("train", [TRACES, "sampler=solve_rate"], "sampler has no effect on SFT"),
        ("train", [TRACES, "entropy=bonus"], "entropy has no effect on SFT"),
        ("train", [TRACES, "guard=warn"], "guard has no effect on SFT"),
        ("train", [TRACES, "guests=luffy"], "guests has no effect on SFT"),
        ("train", ["guests=luffy", "groups=replay"], "guests cannot be used with groups"),
        ("train", [TRACES, "overlap=one_step"], "overlap has no effect on SFT"),
        (
            "train",
            ["overlap=one_step", "exploration=vogue"],
            "exploration cannot be used with over",
        ),
        ("train", ["overlap=one_step", "guard=switch"], "guard=switch cannot be used with overlap"),
        (
            "train",
            ["overlap=one_step", "engine=vllm"],
            "engine=vllm cannot be used with overlap=one_step",
        ),
        (
            "train",
            ["overlap=one_step", "trainer.precision=bf16-true"],
            "trainer.precision=bf16-true cannot be used with overlap=one_step",
        ),
        (
            "train",
            ["overlap=one_step", "overlap.spare_groups=99", "overlap.max_staleness=2"],
            "overlap.spare_groups=99 must be a multiple of the 1 processes of trainer.devices x",
        ),
        (
            "train",
            [
                "overlap=one_step",
                "overlap.spare_groups=3",
                "overlap.max_staleness=2",
                "strategy=ddp",
                "trainer.devices=2",
            ],
            "overlap.spare_groups=3 must be a multiple of the 2 processes of trainer.devices x",
        ),
        (
            "train",
            ["overlap=one_step", "overlap.spare_groups=1", "groups=drop_flat"],
            "overlap.spare_groups cannot be used with groups",
        ),
        (
            "train",
            ["guests=luffy", "algorithm=dppo_tv"],
            "guests with algorithm.anchor=rollout: no engine has sampled them",
        ),
        ("train", ["algorithm=distillation"], "algorithm=distillation needs model.teacher"),
        ("train", ["model.teacher=x"], "model.teacher has no effect"),
        ("train", [TRACES, "exploration=vogue"], "exploration has no effect on SFT"),
        (
            "train",
            ["scale=full", "exploration=noisy_rollout"],
            "exploration=noisy_rollout with impo",
        ),
        (
            "train",
            ["plan.micro_batch_tokens=99"],
            "plan.micro_batch_tokens needs model.packing=tru",
        ),
        (
            "train",
            [TRACES, "traces.micro_batch_tokens=99"],
            "traces.micro_batch_tokens needs model.packing=true",
        ),
        (
            "train",
            [
                "plan.micro_batch_tokens=99",
                "model.packing=true",
                "probes=[checklist]",
                "probes.checklist.coef=0.1",
            ],
            "plan.micro_batch_tokens cannot be used with probes.checklist.coef",
        ),
        ("train", ["algorithm=vogue"], "algorithm=vogue needs signals=[visual_uncertainty]"),
        (
            "train",
            ["algorithm=vogue", "signals=[visual_uncertainty]"],
            "algorithm=vogue has no effect without exploration=vogue",
        ),
        ("train", ["model.shared_prefix=true"], "model.shared_prefix=true has no effect without"),
        (
            "train",
            ["model.packing=true", "model.shared_prefix=true", "plan.micro_batch_size=1"],
            "model.shared_prefix=true has no effect with plan.micro_batch_size=1",
        ),
        (
            "train",
            [TRACES, "model.packing=true", "model.shared_prefix=true", "traces.micro_batch_size=1"],
            "model.shared_prefix=true has no effect with traces.micro_batch_size=1",
        ),
        (
            "train",
            ["model.context_parallel=2", "trainer.devices=2"],
            "model.context_parallel=2 needs model.packing=true",
        ),
        (
            "train",
            ["model.context_parallel=2", "trainer.devices=3", "model.packing=true"],
            "model.context_parallel=2 must divide the 3 processes of trainer.devices",
        ),
        (
            "train",
            [
                "model.context_parallel=2",
                "trainer.devices=2",
                "model.packing=true",
                "rollout.reuse_features=true",
            ],
            "rollout.reuse_features=true cannot be used with model.context_parallel=2",
        ),
        ("train", ["rollout.reuse_features=true", "overlap=one_step"], "rollout.reuse_features=tr"),
        (
            "train",
            ["rollout.reuse_features=true", "model.freeze_merger=false"],
            "rollout.reuse_features=true needs a frozen tower and merger",
        ),
        (
            "train",
            ["rollout.reuse_features=true", "model.engine_dtype=bfloat16"],
            "rollout.reuse_features=true with model.engine_dtype=bfloat16",
        ),
        ("train", ["rollout.reuse_features=true", "engine=vllm"], "rollout.reuse_features=true ne"),
        ("train", ["model.head=liger"], "model.head=liger computes in bfloat16, which trainer.pr"),
        ("train", ["limits.max_turns=1"], "tools have no effect with limits.max_turns=1"),
        ("train", ["limits.max_images=1"], "limits.max_images=1 leaves no crop beside"),
        ("train", ["limits.max_new_tokens=600"], "limits.max_new_tokens=600 has no effect above"),
        (
            "train",
            ["env=visual_search_point", "markup=xml"],
            "markup has no effect on an env without",
        ),
        (
            "train",
            ["env=visual_search_point", "env.limits.max_calls_per_turn=2"],
            "limits.max_calls_per_turn has no effect with limits.max_turns=1",
        ),
        (
            "train",
            ["env=visual_search_point", "env.limits.max_turns=2"],
            "limits.max_turns=2 has no effect without tools",
        ),
        ("train", ["+reward.format_weight=9"], "format_weight=9 must be at most half"),
        ("evaluate", ["samples_per_task=2"], "samples_per_task=2 has no effect with env.eval_tem"),
        ("evaluate", ["faithfulness.num_rollouts=5"], "faithfulness.num_rollouts has no effect"),
        ("train", ["algorithm=ppo", "guests=visurf"], "guests cannot be used with a critic"),
        ("train", ["algorithm=ppo", "groups=replay"], "groups=replay cannot be used with a critic"),
        (
            "train",
            ["algorithm=ppo", "strategy=zero3"],
            "strategy cannot be DeepSpeed with a critic",
        ),
        (
            "train",
            ["engine=vllm", "engine.sleep_level=1"],
            "engine.sleep_level has no effect with engine_limits.can_sleep=false",
        ),
        (
            "train",
            ["engine=vllm", "engine.quantization=fp8_per_block"],
            "engine.quantization=fp8_per_block samples from another policy",
        ),
        ("train", ["strategy=fsdp2"], "strategy=fsdp2 has no effect in one process"),
        (
            "train",
            ["strategy=fsdp2", "trainer.devices=2", "precision=16-mixed"],
            "strategy=fsdp2 cannot take precision=16-mixed",
        ),
        (
            "train",
            ["strategy=zero2", "model.packing=true", "plan.micro_batch_tokens=500"],
            "plan.micro_batch_tokens cannot be used with strategy=zero1 or zero2",
        ),
        (
            "train",
            ["strategy=fsdp2", "trainer.devices=2", "strategy.gather_dtype=bfloat16"],
            "strategy.gather_dtype=bfloat16 computes in bfloat16",
        ),
        (
            "train",
            ["strategy=fsdp2", "trainer.devices=4", "strategy.copies=3"],
            "strategy.copies=3 must divide the 4 processes",
        ),
    ],
)
def test_values_that_mean_nothing_together_are_refused(
    door: str, said: list[str], line: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        check_values(composed(door, *said))
    assert str(caught.value).startswith(line)


@pytest.mark.parametrize(
    ("door", "said"),
    [
        ("train", [TRACES, "env.temperature=0"]),  # nothing is sampled
        ("evaluate", ["env.temperature=0", "data.num_train=0"]),
        ("evaluate", ["samples_per_task=2", "env.eval_temperature=0.5"]),
        ("evaluate", ["faithfulness=on", "faithfulness.num_rollouts=5"]),
        ("train", [TRACES, "early_stop=val_nll"]),
    ],
)
def test_what_has_no_effect_where_it_stands_is_no_contradiction(door: str, said: list[str]) -> None:
    check_values(composed(door, *said))


def test_contradictions_are_found_and_ranges_read_without_torch() -> None:
    modules = {"vigorl.settings", *(one.__module__ for one in map(code_of, SHIPPED) if one)}
    code = f"import sys, {', '.join(modules)}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def _default_of(target: str, name: str) -> Any:
    code = code_of(target)
    assert code is not None
    return next(one.default for one in dataclasses.fields(code) if one.name == name)


def test_code_states_the_range_of_each_of_its_settings() -> None:
    accepted: list[tuple[str, str, Any]] = []
    for target in SHIPPED:
        if code_of(target) is None or target.startswith("vigorl.core.rewards."):
            continue  # a function, or a reward: `settings.rewards` has the ranges of many
        model = stated_by(target)
        assert model is not None, f"{target} has a number without a range"
        for name, field in model.model_fields.items():
            kind = TypeAdapter(Annotated[field.annotation, *field.metadata, None])
            found = [bad for bad in (math.nan, HUGE, []) if kind.validator.isinstance_python(bad)]
            may_be_empty = _default_of(target, name) == ()
            accepted += [(target, name, bad) for bad in found if bad != [] or not may_be_empty]
    assert len(SHIPPED) > 40
    assert not accepted


def test_all_that_is_wrong_is_named_at_once_and_a_copy_of_a_setting_by_its_source() -> None:
    with pytest.raises(ConfigError) as caught:
        check_values(composed("train", "seed=-1", "num_phases=0"))  # also trainer.max_epochs
    first, second = str(caught.value).split("; ")
    assert (first.split()[0], second.split()[0]) == ("seed", "num_phases")


def test_a_stage_is_checked_as_the_run_is() -> None:
    with pytest.raises(ConfigError, match=r"^stages\.see\.optimizer\.lr must be above 0"):
        check_values(composed("train", "experiment=sft_vstar", "stages.see.optimizer.lr=-1"))


def test_code_of_ones_own_has_settings_of_its_own() -> None:
    own = "reward={_target_: mine.Reward, bonus: many}"
    check_values(composed("train", "~reward", f"+{own}"))


def test_code_that_states_its_ranges_may_stand_in_a_list() -> None:
    parts = "[[{_target_: vigorl.core.rewards.AccuracyReward}, 1.0]]"
    listed = f"+reward={{_target_: vigorl.core.rewards.WeightedReward, parts: {parts}}}"
    check_values(composed("train", "~reward", listed))


def test_what_is_missing_is_asked_for_by_its_key() -> None:
    cfg = composed("train", "experiment=grpo_from_mcts", "data=vstar_folder")
    check_values(cfg)
    with pytest.raises(ConfigError, match=r"^set data\.root, from_model: no default can know it"):
        refuse_missing(cfg)


def leaves(node: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    if OmegaConf.is_dict(node):
        for key in node:
            is_elsewhere = OmegaConf.is_interpolation(node, key)
            if not is_elsewhere or not OmegaConf.is_config(node[key]):
                yield from leaves(node[key], f"{path}.{key}".lstrip("."))
    elif path and not OmegaConf.is_list(node):
        yield path, node


# What of NONSENSE has a meaning after all, by kind of the value that the YAML has.
MEANT: dict[type, list[Any]] = {
    bool: [True],
    int: [0],
    float: [0, 1.5],
    str: ["maybe"],  # a name or a path
    type(None): ["maybe", True, 0, 1.5],
}
NULL_IS_MEANT = (
    "max_gap", "max_model_len", "kv_cache_gib", "block_size", "gradient_clip", "gradient_clip_val",
    "vision_cache_bytes", "dual_clip", "max_weight", "patience", "num_rollouts", "adapter_rank",
    "max_turns", "default", "enough", "coef_end", "clip", "below", "below_best_frac",
    "model_dtype", "model_folder", "limit", "served_as", "tracking_uri",
    "artifact_location", "system_every_s", "api_key_env", "checkpoint", "folder",
)  # fmt: skip


def refusal(cfg: DictConfig) -> str:
    """What is said against it, in one line; "" where nothing is."""
    try:
        check_values(cfg)
    except ConfigError as error:
        said = str(error)
    else:
        return ""
    assert "\n" not in said
    return said


def refused(cfg: DictConfig, bad: dict[str, Any]) -> set[str]:
    """Which of its settings are refused with these values: most are named where all have theirs,
    and each that is not is tried alone.
    """
    plain = {path: raw(cfg, path) for path in bad}
    for path, value in bad.items():
        OmegaConf.update(cfg, path, value)
    named = {one.partition(" must be ")[0] for one in refusal(cfg).split("; ")} & bad.keys()
    for path, value in plain.items():
        OmegaConf.update(cfg, path, value)
    for path in bad.keys() - named:
        OmegaConf.update(cfg, path, bad[path])
        named |= {path} if refusal(cfg) else set()
        OmegaConf.update(cfg, path, plain[path])
    assert not refusal(cfg)  # it is what it was
    return named


def raw(cfg: DictConfig, path: str) -> Any:
    parent, _, name = path.rpartition(".")
    node = OmegaConf.select(cfg, parent) if parent else cfg
    return OmegaConf.to_container(node, resolve=False)[name]


def may_be(path: str, old: Any) -> list[Any]:
    """What of NONSENSE has a meaning for a setting whose value in the YAML is `old`."""
    parent, _, name = path.rpartition(".")
    meant = [None] if name in NULL_IS_MEANT or old is None else []
    meant += MEANT[float if name.endswith("_s") else type(old)]
    may_be_negative = parent.endswith(".weights") or name.startswith("coef_")
    may_be_negative |= name == "off_policy_threshold"  # nats, either side of 0
    return meant + ([-1] if may_be_negative else [])


@pytest.mark.slow
def test_no_nonsense_in_any_setting_is_accepted_or_ends_in_a_trace() -> None:
    """Every leaf of every group, each with two of nine kinds of nonsense, by its name."""
    accepted: list[tuple[str, Any]] = []
    seen: set[str] = set()
    for door, overrides in [(door, one) for door, many in FAMILIAR.items() for one in many]:
        cfg = composed(door, *overrides)
        OmegaConf.set_struct(cfg, False)
        new = {
            path: old
            for path, old in leaves(cfg)
            if path not in seen
            and not path.startswith("stages.")
            and not path.rpartition(".")[2].startswith("_")
        }
        seen |= new.keys()
        for place in (0, 4):
            bad = {path: NONSENSE[(crc32(path.encode()) + place) % 9] for path in new}
            for path in bad.keys() - refused(cfg, bad):
                if not any(bad[path] is one or bad[path] == one for one in may_be(path, new[path])):
                    accepted.append((path, bad[path]))
    assert len(seen) > 250
    assert not accepted
