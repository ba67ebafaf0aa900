"""Values that are each allowed, but not beside one another: what would be refused once pictures are
drawn and weights are loaded, or would train on nothing, is refused with the command line.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from hydra.errors import InstantiationException
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from vigorl.core.advantages import check_normalization
from vigorl.core.errors import ConfigError, VigorlError
from vigorl.core.ranges import MOST
from vigorl.rollout.limits import RolloutLimits
from vigorl.settings.probed import unasked

# objects of plain values whose code imports no torch: they refuse theirs in their own words
_QUICK = (
    "plan",
    "reward",
    "guard.reward",
    "env.prompt",
    "search",
    "keep",
    "chains.filters",
    "chains.picking",
)


def check_together(cfg: DictConfig, plain: dict[str, Any]) -> None:
    """Compare values with each other.

    Args:
        cfg: The settings.
        plain: Them resolved, each of them allowed by itself, without absent ones.
    Raises:
        ConfigError: Some contradict each other, or one has no effect beside another.
    """
    for check in (
        _files, _trainer, _dialogs, _learning, _tokens, _algorithm, _policy_loss, _kl, _evaluation,
        _parts, _vllm,
    ):  # fmt: skip
        for message in check(plain):
            raise ConfigError(message)
    made = {key: _try_out(cfg, key) for key in _QUICK}
    for message in unasked(made["reward"], plain):
        raise ConfigError(message)


def _files(plain: dict[str, Any]) -> Iterator[str]:
    pixels, outputs = plain.get("pixels", {}), plain.get("paths", {}).get("outputs", "")
    if pixels.get("min_pixels", 0) > pixels.get("max_pixels", MOST):
        yield (
            f"pixels.min_pixels must not be above pixels.max_pixels={pixels['max_pixels']}, "
            f"got {pixels['min_pixels']}"
        )
    store = plain.get("logger", {}).get("tracking_uri")
    if store == f"sqlite:///{outputs}/mlflow.db" and any(sign in outputs for sign in "%?"):
        yield (
            f"paths.outputs must have no % and no ? in its name, which the URL of MLflow's store "
            f"cannot say, got {outputs!r}; set another, or logger.tracking_uri"
        )


def _trainer(plain: dict[str, Any]) -> Iterator[str]:
    if plain.get("trainer", {}).get("use_distributed_sampler"):
        yield (
            "trainer.use_distributed_sampler must be false, got True: each rank has its own prompts"
        )


def _dialogs(plain: dict[str, Any]) -> Iterator[str]:
    env = plain.get("env", {})
    limits = env.get("limits", {})
    if not {"tools", "step_reply"} <= env.keys() or not _takes_all(RolloutLimits, limits):
        return
    RolloutLimits(**limits)
    turns = limits["max_turns"]
    if plain.get("tools") and env["tools"] != list(plain["tools"].values()):
        yield "tools has no effect on an env that has its own: set env=visual_search_tools"
    if turns > 1 and not (env["tools"] or env["step_reply"]):
        yield (
            f"limits.max_turns={turns} has no effect without tools: set tools=[zoom_point], "
            "limits.max_turns=1 or another env"
        )
    if turns == 1 and env["tools"]:
        yield "tools have no effect with limits.max_turns=1: set more, or env=visual_search_point"
    if env.get("markup") is not None and not env["tools"]:  # settings of none, but there
        yield "markup has no effect on an env without tools: set an env with tools, or none"
    if limits.get("max_calls_per_turn", 1) > 1 and not env["tools"]:
        yield "limits.max_calls_per_turn has no effect on an env without tools: set it to 1"
    if turns > 1 and limits["max_images"] == 1:
        yield "limits.max_images=1 leaves no crop beside a question's picture: set 2 or more"


def _learning(plain: dict[str, Any]) -> Iterator[str]:
    source, env, data = plain.get("datamodule", {}), plain.get("env", {}), plain.get("data", {})
    metric = (plain.get("early_stop") or {}).get("metric")
    if "module" not in plain:
        return
    yield from _shared_prefix(plain)
    yield from _context_parallel(plain)
    yield from _head(plain)
    if source.get("plan"):
        if env.get("temperature") == 0:
            yield (
                "env.temperature must be above 0 where rollouts are learned from: greedy ones of a "
                "question are all the same, so none is better (env.eval_temperature judges)"
            )
        if plain["module"].get("importance_correction") and env.get("top_p", 1) < 1:
            yield (
                f"env.top_p={env['top_p']:g} with importance_correction: the weights would hold "
                "the mass that top_p keeps; set env.top_p=1.0 or importance_correction=null"
            )
        if "max_age" in (plain.get("groups") or {}) and env.get("top_p", 1) < 1:
            yield (
                f"env.top_p={env['top_p']:g} with groups=replay: a replayed token would be "
                "compared with its logprob of what top_p has left; set env.top_p=1.0"
            )
        yield from _exploration(plain)
        yield from _guests(plain)
        yield from _teacher(plain)
        yield from _critic(plain)
        yield from _overlap(plain)
        yield from _reused_features(plain)
        if metric == "val/nll":
            yield "early_stop.metric=val/nll is of SFT: set val/accuracy"
        if data.get("num_train") == 0:
            yield "data.num_train must be at least 1: these are the questions to learn from"
        return
    of_phases = ("sampler", "groups", "probes", "signals", "entropy", "guard", "exploration")
    for key in (*of_phases, "guests", "sft_mix", "overlap"):
        if plain.get(key):
            yield f"{key} has no effect on SFT: it is for phases of rollouts"
    if source.get("traces") and data.get("num_traces") == 0:
        yield "data.num_traces must be at least 1: SFT learns from traces"


def _shared_prefix(plain: dict[str, Any]) -> Iterator[str]:
    model, source = plain.get("model", {}), plain.get("datamodule", {})
    plan, traces = source.get("plan") or {}, source.get("traces") or {}
    if not model.get("shared_prefix"):
        return
    if not model.get("packing"):
        yield "model.shared_prefix=true has no effect without model.packing=true"
    for key, one in (("plan", plan), ("traces", traces)):
        if one.get("micro_batch_size") == 1:
            yield (
                f"model.shared_prefix=true has no effect with {key}.micro_batch_size=1: one "
                "sequence has none to share its prompt with; set it to plan.group_size, or a "
                "multiple"
            )


def _context_parallel(plain: dict[str, Any]) -> Iterator[str]:
    model, trainer = plain.get("model", {}), plain.get("trainer") or {}
    size, ranks = model.get("context_parallel", 1), trainer.get("devices", 1)
    if size == 1:
        return
    ranks *= trainer.get("num_nodes", 1)
    if ranks % size:
        yield (
            f"model.context_parallel={size} must divide the {ranks} processes of trainer.devices x "
            "trainer.num_nodes"
        )
    if not model.get("packing"):
        yield f"model.context_parallel={size} needs model.packing=true: it is a row that is shared"
    if (plain.get("rollout") or {}).get("reuse_features"):
        yield (
            f"rollout.reuse_features=true cannot be used with model.context_parallel={size}: what "
            "one process's engine has encoded, another would encode anew; set it to false"
        )


def _head(plain: dict[str, Any]) -> Iterator[str]:
    precision = str(plain.get("trainer", {}).get("precision", ""))
    if plain.get("model", {}).get("head") == "liger" and not precision.startswith("bf16"):
        yield (
            f"model.head=liger computes in bfloat16, which trainer.precision={precision} does not: "
            "set precision=bf16-mixed, or model.head=tiles"
        )


def _tokens(plain: dict[str, Any]) -> Iterator[str]:
    source = plain.get("datamodule", {})
    key = next(
        (key for key in ("plan", "traces") if (source.get(key) or {}).get("micro_batch_tokens")), ""
    )
    if not key or "module" not in plain:
        return
    if not plain.get("model", {}).get("packing"):
        yield (
            f"{key}.micro_batch_tokens needs model.packing=true: padded rows of lengths that are "
            "placed by what they cost would be mostly padding"
        )
    strategy = plain.get("strategy")
    if isinstance(strategy, dict) and strategy.get("stage") in (1, 2):
        yield (
            f"{key}.micro_batch_tokens cannot be used with strategy=zero1 or zero2: DeepSpeed "
            "wants a gradient from every micro-batch, and those that no sequence needs have none; "
            "set strategy=zero3, fsdp2 or ddp"
        )
    beside = [f"probes.{name}.coef" for name, one in _probes(plain) if one.get("coef")]
    if others := [*beside, *(["sft_mix"] if plain.get("sft_mix") else [])]:
        yield (
            f"{key}.micro_batch_tokens cannot be used with {others[0]}, which adds rows to "
            f"micro-batches that are full: set {key}.micro_batch_tokens=null"
        )


def _probes(plain: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    yield from (plain.get("probes") or {}).items()


def _exploration(plain: dict[str, Any]) -> Iterator[str]:
    noise = (plain.get("exploration") or {}).get("noise") or {}
    if "steps" in noise and plain["module"].get("importance_correction"):
        yield (
            "exploration=noisy_rollout with importance_correction: the weights would take the "
            "noise back; set importance_correction=null"
        )
    if "uncertainty_weight" in (plain["module"].get("algorithm") or {}):
        if "visual_uncertainty" not in plain.get("signals", {}):
            yield "algorithm=vogue needs signals=[visual_uncertainty]"
        if "frac_start" not in noise:
            yield "algorithm=vogue has no effect without exploration=vogue: no rollout sees noise"


def _teacher(plain: dict[str, Any]) -> Iterator[str]:
    model = plain.get("model", {})
    by_checkpoint = (plain["module"].get("algorithm") or {}).get("teacher") == "checkpoint"
    if by_checkpoint and not model.get("teacher"):
        yield (
            "algorithm=distillation needs model.teacher, a checkpoint, or algorithm.teacher=region"
        )
    if model.get("teacher") and not by_checkpoint:
        yield (
            "model.teacher has no effect: it is of algorithm=distillation with "
            "algorithm.teacher=checkpoint"
        )
    if model.get("teacher") and model.get("lora"):
        yield (
            "model.teacher with model.lora, whose reference is the model without adapters: set one"
        )


def _guests(plain: dict[str, Any]) -> Iterator[str]:
    if not plain.get("guests"):
        return
    if (plain["module"].get("algorithm") or {}).get("anchor") == "rollout":
        yield (
            "guests with algorithm.anchor=rollout: no engine has sampled them; set "
            "algorithm.anchor=old"
        )
    if plain.get("groups"):
        yield "guests cannot be used with groups: the places of a group are planned; set one"


def _critic(plain: dict[str, Any]) -> Iterator[str]:
    critic, strategy = plain.get("critic"), plain.get("strategy")
    if not critic:
        return
    if plain.get("guests"):
        yield "guests cannot be used with a critic, whose values are of the policy's own rollouts"
    if "max_age" in (plain.get("groups") or {}):
        yield "groups=replay cannot be used with a critic: a replayed rollout has no values"
    is_named = isinstance(strategy, str) and strategy.startswith("deepspeed")
    if is_named or (isinstance(strategy, dict) and "stage" in strategy):
        yield (
            "strategy cannot be DeepSpeed with a critic: it clips both by one norm, so that the "
            "critic's would shrink the policy's step, and it has not been tried; set "
            "strategy=fsdp2, or strategy=ddp with model.lora"
        )


def _overlap(plain: dict[str, Any]) -> Iterator[str]:
    if not plain.get("overlap"):
        return
    spare, trainer = plain["overlap"].get("spare_groups") or 0, plain.get("trainer") or {}
    precision = str(trainer.get("precision", ""))
    if spare and plain.get("groups"):
        yield (
            "overlap.spare_groups cannot be used with groups: both say how many prompts a phase "
            "asks; set overlap.spare_groups=0"
        )
    ranks = trainer.get("devices", 1) * trainer.get("num_nodes", 1)
    most = (plain.get("plan") or {}).get("prompts_per_phase", spare)
    if spare > most or spare % ranks:
        yield (
            f"overlap.spare_groups={spare} must be a multiple of the {ranks} processes of "
            f"trainer.devices x trainer.num_nodes, up to plan.prompts_per_phase={most}"
        )
    if plain.get("exploration"):
        yield (
            "exploration cannot be used with overlap=one_step: it sets how a phase explores when "
            "the phase begins, and its rollouts are made before; set one of them to none"
        )
    if (plain.get("guard") or {}).get("action") == "switch":
        yield (
            "guard=switch cannot be used with overlap=one_step: the phase after the alarm has been "
            "scored by then; set guard=warn or guard=stop"
        )
    if "can_sleep" in plain.get("engine", {}):
        yield (
            "engine=vllm cannot be used with overlap=one_step: it works while the policy rests and "
            "rests while it learns, in one process; start servers and set engine=server (gpus.md)"
        )
    if precision.endswith("-true") and not precision.startswith("32"):
        yield (
            f"trainer.precision={precision} cannot be used with overlap=one_step: a step changes "
            "torch's default dtype for all threads; set trainer.precision=bf16-mixed"
        )


def _reused_features(plain: dict[str, Any]) -> Iterator[str]:
    model, engine = plain.get("model", {}), plain.get("engine", {})
    precision = str(plain.get("trainer", {}).get("precision", ""))
    if not (plain.get("rollout") or {}).get("reuse_features"):
        return
    if "can_sleep" in engine or "urls" in engine:
        yield "rollout.reuse_features=true needs engine=hf: others keep what they have encoded"
    if not model["freeze_vision_tower"] or model.get("freeze_merger") is False:
        yield (
            "rollout.reuse_features=true needs a frozen tower and merger, which say the same to "
            "engine and trainer: set model.freeze_vision_tower=true, model.freeze_merger=null"
        )
    if plain.get("overlap"):
        yield (
            "rollout.reuse_features=true cannot be used with overlap=one_step: by the time a phase "
            "is learned from, the engine has encoded the next one's pictures; set it to false"
        )
    if model["engine_dtype"] != model["dtype"] or precision.endswith("-mixed"):
        yield (
            f"rollout.reuse_features=true with model.engine_dtype={model['engine_dtype']}, "
            f"model.dtype={model['dtype']}, trainer.precision={precision}: features of one would "
            "stand in for the other's; set all three to one"
        )


def _parts(plain: dict[str, Any]) -> Iterator[str]:
    """What FSDP2 cannot do, though another strategy can."""
    strategy, trainer = plain.get("strategy"), plain.get("trainer") or {}
    if not isinstance(strategy, dict) or "copies" not in strategy:
        return
    if trainer.get("precision") == "16-mixed":
        yield (
            "strategy=fsdp2 cannot take precision=16-mixed, whose loss scale Lightning does not "
            "keep over parts: set precision=bf16-mixed, or strategy=zero2"
        )
    travels = strategy.get("gather_dtype")
    if travels and trainer.get("precision") != {"bfloat16": "bf16-mixed"}.get(travels, travels):
        yield (
            f"strategy.gather_dtype={travels} computes in {travels}, which trainer.precision="
            f"{trainer.get('precision')} does not say: set trainer.precision=bf16-mixed, or "
            "strategy.gather_dtype=null"
        )
    ranks = trainer.get("devices", 1) * trainer.get("num_nodes", 1)
    if ranks == 1:
        yield "strategy=fsdp2 has no effect in one process: set trainer.devices, or strategy=auto"
    elif ranks % strategy["copies"] or strategy["copies"] == ranks:
        yield (
            f"strategy.copies={strategy['copies']} must divide the {ranks} processes of "
            "trainer.devices x trainer.num_nodes, and be fewer; strategy=ddp has one copy each"
        )


def _vllm(plain: dict[str, Any]) -> Iterator[str]:
    engine, module = plain.get("engine") or {}, plain.get("module") or {}
    if engine.get("sleep_level") and not engine.get("can_sleep"):
        yield "engine.sleep_level has no effect with engine_limits.can_sleep=false"
    if engine.get("quantization") and "algorithm" in module:
        named = f"engine.quantization={engine['quantization']}"
        if not module.get("importance_correction"):
            yield (
                f"{named} samples from another policy than the one that learns: set "
                "importance_correction, which weighs the gap, as scale=full does"
            )
        if not (plain.get("rollout") or {}).get("alignment"):
            yield f"{named} without rollout.alignment, which stops a run whose engine is far off"


def _algorithm(plain: dict[str, Any]) -> Iterator[str]:
    algorithm = plain.get("module", {}).get("algorithm") or {}
    high, dual = algorithm.get("clip_high", 0), algorithm.get("dual_clip")
    if dual is not None and dual <= 1 + high:
        yield f"algorithm.dual_clip must be above 1 + clip_high = {1 + high:g}, got {dual:g}"
    if algorithm.get("kl_estimator") == "k1":
        yield (
            "algorithm.kl_estimator=k1 holds nothing: as a loss its gradient has a mean of 0 over "
            "the policy's samples; set k2 or k3_corrected"
        )
    if algorithm.get("kl_estimator", "k3") != "k3" and not algorithm.get("kl_coef"):
        yield "algorithm.kl_estimator has no effect with algorithm.kl_coef=0"
    if algorithm.get("min_std") and not algorithm.get("scale_by_std", True):
        yield "algorithm.min_std has no effect with algorithm.scale_by_std=false"
    if "normalization" in algorithm:
        check_normalization(algorithm["normalization"], algorithm.get("constant_length"))


def _policy_loss(plain: dict[str, Any]) -> Iterator[str]:
    algorithm = plain.get("module", {}).get("algorithm") or {}
    low, high = algorithm.get("clip_low", 0), algorithm.get("clip_high", 0)
    if algorithm.get("anchor") == "rollout" and plain["module"].get("importance_correction"):
        yield (
            "algorithm.anchor=rollout with importance_correction would count the gap between "
            "engine and trainer twice: set importance_correction=null"
        )
    elif key := _corrects_engine(plain.get("module", {})):
        yield (
            f"importance_correction beside {key} would count the gap between engine and trainer "
            "twice: set importance_correction=null"
        )
    if not algorithm.get("wide_bounds", True) and max(low, high) >= 0.1:
        yield (
            f"algorithm.clip_low={low:g}, algorithm.clip_high={high:g} are bounds of a token's "
            "ratio, which the mean over a sequence hardly ever reaches: set smaller ones, as the "
            "paper, or algorithm.wide_bounds=true"
        )
    if "cov_low" in algorithm and algorithm["cov_low"] >= algorithm["cov_high"]:
        yield (
            f"algorithm.cov_low={algorithm['cov_low']:g} must be below "
            f"algorithm.cov_high={algorithm['cov_high']:g}"
        )
    for name, signal in (plain.get("signals") or {}).items():
        if signal.get("black_frac") and signal.get("change") == "grey":
            yield f"signals.{name}.black_frac has no effect with signals.{name}.change=grey"
        if signal.get("change") == "patches" and not signal.get("black_frac"):
            yield f"signals.{name}.change=patches needs signals.{name}.black_frac"


def _corrects_engine(module: dict[str, Any]) -> str | None:
    """What of an algorithm's settings is a correction already, where there is another one."""
    algorithm = module.get("algorithm") or {}
    if not module.get("importance_correction"):
        return None
    if "k_positive" in algorithm:
        return "algorithm=vespo"
    weight = algorithm.get("max_weight")  # with a lower bound (CISPO) of another ratio
    return f"algorithm.max_weight={weight:g}" if weight and "min_weight" not in algorithm else None


def _kl(plain: dict[str, Any]) -> Iterator[str]:
    module = plain.get("module", {})
    algorithm = module.get("algorithm") or {}
    in_loss, in_reward = algorithm.get("kl_coef"), algorithm.get("reward_kl_coef")
    if in_loss and in_reward:
        yield (
            f"algorithm.kl_coef={in_loss:g} and algorithm.reward_kl_coef={in_reward:g} would pay "
            "the KL twice: set one"
        )
    if algorithm.get("kl_control") and not in_reward:
        yield "algorithm.kl_control needs algorithm.reward_kl_coef above 0"
    if module.get("kl_schedule") and not in_loss:
        yield "kl_schedule has no effect with algorithm.kl_coef=0"
    if not module.get("moving_reference"):
        return
    if not (in_loss or in_reward):
        yield "module.moving_reference has no effect with algorithm.kl_coef=0"
    if plain.get("model", {}).get("lora"):
        yield (
            "module.moving_reference cannot move the reference of model.lora, which is the model "
            "without its adapters: set model.lora=null"
        )


def _evaluation(plain: dict[str, Any]) -> Iterator[str]:
    num_samples = plain.get("samples_per_task", 1)
    if num_samples > 1 and plain.get("env", {}).get("eval_temperature") == 0:
        yield (
            f"samples_per_task={num_samples} has no effect with env.eval_temperature=0: greedy "
            "answers to a question are all the same"
        )
    faithfulness = plain.get("faithfulness", {})
    if faithfulness.get("num_rollouts") and not faithfulness.get("probes"):
        yield "faithfulness.num_rollouts has no effect without probes: set faithfulness=on too"


def _takes_all(kind: type[RolloutLimits], found: dict[str, Any]) -> bool:
    return found.keys() == kind.__dataclass_fields__.keys()


def _try_out(cfg: DictConfig, key: str) -> Any:
    """Make the object; what else is wrong with it is said later, with the nearest key."""
    try:
        if str(OmegaConf.select(cfg, f"{key}._target_")).startswith("vigorl."):
            return instantiate(OmegaConf.select(cfg, key))
    except InstantiationException as error:
        if isinstance(error.__cause__, VigorlError):
            raise error.__cause__ from None
    except OmegaConfBaseException:
        pass  # a value is missing
    return None
