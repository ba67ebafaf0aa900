"""From settings to the seconds that a phase will take: `python -m vigorl.doctor --plan ...`.

What the settings do not say is how long rollouts are; `--turns`, `--tokens` and `--prompt` do, and
without them every rollout is as long as its limits allow.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import torch
from hydra.utils import instantiate
from omegaconf import DictConfig

from vigorl.build import is_deepspeed, maker_of, needs_reference
from vigorl.core.cost import Achieved, ModelCost, Workload, predict
from vigorl.core.devices import DEVICES, Device, device_named
from vigorl.core.errors import ConfigError
from vigorl.core.flops import Load, picture_load
from vigorl.diagnosis.engine import engine_kind
from vigorl.diagnosis.memory import (
    compute_bytes,
    gather_bytes,
    num_parts,
    prompt_tokens,
    weight_bytes,
)
from vigorl.diagnosis.plan_flags import Asked
from vigorl.diagnosis.report import Row, Status
from vigorl.families.family import TowerShape
from vigorl.models.flops import count_products
from vigorl.models.model_size import meta_policy, read_config
from vigorl.models.packing import prepare
from vigorl.models.peak import memory_rate, peak_flops
from vigorl.models.policy import Policy
from vigorl.models.pretrained import parse_dtype
from vigorl.models.shared_prefix import prepare_sharing
from vigorl.resolvers import shipped
from vigorl.training.plan import PhasePlan
from vigorl.training.readings import reads_of

# Between what a model of 2 and one of 26 million weights reach of a large product of matrices on
# one thread: a quarter and four fifths (docs/cost.md)
ON_CPU = Achieved(update=0.45, forward=0.5, memory=0.5, layer_s=1.5e-3)
PIXEL_S = 5e-8  # of one core, to decode, cut, scale and cut into patches what is shown


def model_cost(
    policy: Policy,
    *,
    engine_bytes: int,
    gather_bytes: int = 2,
    reduce_bytes: int = 2,
    activation_bytes: int = 2,
) -> ModelCost:
    """Of a policy, on torch's meta device or another.

    Args:
        policy: Is counted.
        engine_bytes: Of a weight, a key or a value in the engine.
        gather_bytes: Of a weight that travels, as `reduce_bytes` of a gradient and
            `activation_bytes` of what is between layers; see `ModelCost`.
    """
    config, family = policy.model.config, policy.family
    text = config.get_text_config()
    kept = text.num_hidden_layers - len(family.linear_attention(config).layers)
    width = text.num_key_value_heads * family.head_dim(config)
    weights = list(policy.model.parameters())
    return ModelCost(
        flops=count_products(policy),
        num_params=sum(one.numel() for one in weights),
        num_trained=sum(one.numel() for one in weights if one.requires_grad),
        layers=text.num_hidden_layers,
        kv_bytes=2 * kept * width * engine_bytes,
        engine_bytes=engine_bytes,
        gather_bytes=gather_bytes,
        reduce_bytes=reduce_bytes,
        activation_bytes=activation_bytes,
    )


def plan_rows(cfg: DictConfig, asked: Asked) -> list[Row]:
    """The parts of a phase, what each is bound by, and all of it.

    Raises:
        ConfigError: The settings have no phases, or this machine's device is not known.
    """
    device, achieved = device_of(asked)
    policy = policy_of(cfg)
    own, gathered = weight_bytes(cfg), gather_bytes(cfg)
    model = model_cost(
        policy,
        engine_bytes=parse_dtype(cfg.model.engine_dtype).itemsize,
        gather_bytes=gathered or own,
        reduce_bytes=4 if gathered or cfg.model.lora else own,
        activation_bytes=compute_bytes(cfg),
    )
    work = workload_of(cfg, asked, policy)
    num = cfg.trainer.devices * cfg.trainer.num_nodes
    found = predict(model, work, device, num_devices=num, achieved=achieved)
    lengths = f"{work.turns:g} turns of {work.turn_tokens:g} tokens"
    lengths += "" if asked.turns and asked.tokens else ", at most, where not said"
    head = (
        f"{work.prompts} x {work.group_size} rollouts, {lengths}; {found.tokens / 1e6:.3g} M "
        f"tokens a pass; {num} x {device.name} of {device.flops / 1e12:.4g} TFLOP/s and "
        f"{device.memory_rate / 1e9:.4g} GB/s"
    )
    rows = [Row(Status.NOTE, "phase", head)]
    if work.overlaps:
        text = f"generating on {num} x {device.name} of its own, beside learning"
        rows.append(Row(Status.NOTE, "overlap", text))
    rows += [
        Row(
            Status.NOTE,
            f"  {part.name}",
            f"{part.seconds:10.3f} s {100 * part.seconds / found.seconds:5.1f} %  {part.bound}"
            + ", hidden" * (part.side is found.hidden),
        )
        for part in found.parts
    ]
    phases = cfg.num_phases
    total = (
        f"{found.seconds:.3g} s a phase, {phases} phases {found.seconds * phases / 3600:.3g} h; "
        f"most of it {found.longest.name}, bound by {found.longest.bound}"
    )
    advice = []
    for text, other in _others(cfg, policy, work):
        seconds = predict(model, other, device, num_devices=num, achieved=achieved).seconds
        if seconds < 0.95 * found.seconds:
            advice.append(Row(Status.NOTE, "  with", f"{text} {seconds:.3g} s"))
    return [*rows, Row(Status.OK, "all", total), *advice]


def _others(cfg: DictConfig, policy: Policy, work: Workload) -> Iterator[tuple[str, Workload]]:
    """Other settings that this model can take, as a command line, and the workload with them."""
    packed, packs = replace(work, row_tokens=None), ""
    if not cfg.model.packing:
        packs = "model.packing=true "
        if _can_pack(cfg, policy, sharing=False):
            yield packs.strip(), packed
    if not work.shares_prefix and _can_pack(cfg, policy, sharing=True):
        at_once, plan, whole = "", instantiate(cfg.plan), work.micro_batch_size
        if plan.micro_batch_tokens is None and plan.micro_batch_size < plan.group_size:
            whole, at_once = plan.group_size, f" plan.micro_batch_size={plan.group_size}"
        if not at_once or _divides(replace(plan, micro_batch_size=plan.group_size), cfg):
            shared = replace(packed, shares_prefix=True, micro_batch_size=whole)
            yield f"{packs}model.shared_prefix=true{at_once}", shared
    if work.is_checkpointed:
        yield "model.gradient_checkpointing=false", replace(work, is_checkpointed=False)


def _can_pack(cfg: DictConfig, policy: Policy, *, sharing: bool) -> bool:
    """Whether the model's layers and its attention take packed rows, and shared ones."""
    text = policy.model.config.get_text_config()
    text._attn_implementation = cfg.model.attn_implementation
    try:
        prepare(policy.model, policy.family)
        if sharing:
            prepare_sharing(policy.model, policy.family)
    except ConfigError:
        return False
    return True


def _divides(plan: PhasePlan, cfg: DictConfig) -> bool:
    try:
        plan.accumulate(cfg.trainer.devices * cfg.trainer.num_nodes)
    except ConfigError:
        return False
    return True


def device_of(asked: Asked) -> tuple[Device, Achieved]:
    """The device that a plan is for: one by name, or this machine's, of which a CPU is measured.

    Raises:
        ConfigError: This machine's GPU is not known.
    """
    if asked.device:
        return next(one for one in DEVICES if one.name == asked.device), Achieved()
    if torch.cuda.is_available():
        name = torch.cuda.get_device_name()
        found = device_named(name)
        if found is None:
            known = "|".join(one.name for one in DEVICES)
            raise ConfigError(f"--plan does not know {name}: name another by --device={known}")
        return found, Achieved()
    return measured_cpu(), ON_CPU


def measured_cpu() -> Device:
    """With the threads that torch has now."""
    flops, rate = peak_flops(torch.device("cpu")), memory_rate()
    assert flops is not None
    return Device(name="this CPU", flops=flops, memory_bytes=0, memory_rate=rate, link_rate=rate)


def policy_of(cfg: DictConfig) -> Policy:
    """What learns, without weights, from the config.json of the model that the settings name."""
    path, maker = shipped(cfg.model.path), maker_of(cfg)
    if maker and isinstance(maker.get("source"), str):
        path = maker.source
    return meta_policy(
        read_config(path)[0],
        freeze_vision_tower=cfg.model.freeze_vision_tower,
        freeze_merger=cfg.model.freeze_merger,
        freeze_language_model=cfg.model.freeze_language_model,
        lora=instantiate(cfg.model.lora),
    )


def workload_of(cfg: DictConfig, asked: Asked, policy: Policy) -> Workload:
    """One phase of these settings.

    Raises:
        ConfigError: They have none, or allow no such rollouts.
    """
    if cfg.datamodule.get("plan") is None:
        raise ConfigError("--plan is of phases of rollouts; this experiment has none")
    limits, model = cfg.env.limits, cfg.model
    turns, tokens = asked.turns or limits.max_turns, asked.tokens or limits.max_new_tokens
    if turns > limits.max_turns or tokens > limits.max_new_tokens:
        raise ConfigError(
            f"--turns={turns:g} --tokens={tokens:g} are more than limits.max_turns="
            f"{limits.max_turns} and limits.max_new_tokens={limits.max_new_tokens} allow"
        )
    shape, whole = policy.family.tower_shape(policy.model.config), cfg.pixels.max_pixels
    crop = max((_shown_pixels(tool, at_most=whole) for tool in cfg.env.tools), default=0)
    plan = instantiate(cfg.plan)
    algorithm = instantiate(cfg.module.algorithm)
    needs_old = algorithm.needs_old or cfg.module.get("importance_correction") is not None
    reads_old = bool(reads_of(algorithm)) or (needs_old and plan.updates_per_phase > 1)
    kind, per = engine_kind(cfg), shape.merge_size**2
    work = Workload(
        prompts=plan.prompts_per_phase,
        group_size=plan.group_size,
        turns=turns,
        longest_turns=limits.max_turns,
        turn_tokens=tokens,
        longest_turn_tokens=limits.max_new_tokens,
        longest_tokens=min(limits.max_response_tokens, limits.max_turns * limits.max_new_tokens),
        text_tokens=asked.prompt or prompt_tokens(cfg),
        picture=_square(whole, shape),
        crop=_square(crop, shape),
        max_in_flight=cfg.engine.get("max_batch_size") or cfg.engine.get("max_num_seqs") or 128,
        updates=plan.updates_per_phase // plan.passes,
        micro_batch_size=plan.micro_batch_size,
        passes=plan.passes,
        reads=int(reads_old) + int(algorithm.needs_reference),
        whole_reads=int(needs_reference(cfg)),
        shares_prefix=bool(model.get("shared_prefix")),
        is_checkpointed=model.gradient_checkpointing,
        has_turn_barrier=kind == "hf" and not cfg.engine.get("refill"),
        zero_stage=_zero_stage(cfg),
        together=model.context_parallel,
        overlaps=kind == "server" and bool(cfg.get("overlap")) and cfg.overlap.in_background,
        tool_s=crop * PIXEL_S,
        rollout_s=whole * PIXEL_S / plan.group_size,
    )
    if plan.micro_batch_tokens is not None:
        most = work.sequences_within(plan.micro_batch_tokens, per)
        return replace(work, micro_batch_size=min(most, plan.micro_batch_size))
    if model.packing:
        return work
    num_ranks = cfg.trainer.devices * cfg.trainer.num_nodes
    num_sorted = plan.sequences_per_update // num_ranks
    return replace(work, row_tokens=work.padded_tokens(per, num_sorted=num_sorted))


def _shown_pixels(tool: DictConfig, *, at_most: int) -> int:
    """Of the picture that a tool replies with: `view_px` a side, of a tool within a tool too, or as
    much as the model takes where that is null; 0 without.
    """
    inner = tool.get("tool") or tool
    if "view_px" not in inner:
        return 0
    return at_most if inner.view_px is None else inner.view_px**2


def _zero_stage(cfg: DictConfig) -> int:
    """FSDP2 keeps and sends what ZeRO-3 does."""
    if num_parts(cfg) > 1:
        return 3
    return cfg.strategy.get("stage") or 0 if is_deepspeed(cfg.strategy) else 0


def _square(num_pixels: int, shape: TowerShape) -> Load:
    """Of a picture of one piece; none has no pixels."""
    side = round(num_pixels**0.5 / (shape.patch_size * shape.merge_size)) * shape.merge_size
    return picture_load([(1, side, side)] if side else [], window=shape.window)
