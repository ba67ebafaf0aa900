"""From settings to the memory that they need, against what is there."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from hydra.utils import instantiate
from omegaconf import DictConfig

from vigorl.build import is_deepspeed, maker_of, needs_reference
from vigorl.core.errors import ConfigError
from vigorl.core.memory import (
    GIB,
    EngineLoad,
    LearningLoad,
    MemoryItem,
    ModelSize,
    When,
    advise,
    checkpoint_bytes,
    engine_items,
    learning_items,
    peak_bytes,
)
from vigorl.diagnosis.engine import engine_kind
from vigorl.diagnosis.machine import Machine, Space, is_on_gpu
from vigorl.diagnosis.report import Row, Status
from vigorl.families.family import Family
from vigorl.families.lookup import check_runs, family_named
from vigorl.models.logprobs import VOCAB_TILE
from vigorl.models.model_size import measure_model, meta_policy, read_config
from vigorl.models.pretrained import parse_dtype
from vigorl.own_objects import is_given
from vigorl.resolvers import shipped
from vigorl.rollout.engines import hf, hf_features
from vigorl.rollout.engines.kv_cache import GROWTH_SLOTS
from vigorl.rollout.probes.probe import TeachingProbe
from vigorl.training.policy_module import PolicyModule

PROGRAM_BYTES = 3 * GIB // 4  # Python with torch, transformers, Lightning and MLflow
CUDA_BYTES = GIB // 2  # a context with its kernels
CHARACTERS_PER_TOKEN = 3  # of a prompt, cautiously
QUESTION_TOKENS = 128  # the question, its options and the chat's own tokens
VLLM_SHARE = 0.9  # of a GPU, where its settings do not say


@dataclass(frozen=True, slots=True)
class Needs:
    """What a run needs.

    Attributes:
        device: Per rank, on its device.
        host: Per rank, in RAM, also where the device is a GPU.
        disk: Of a run's folder and its MLflow record.
    """

    device: tuple[MemoryItem, ...]
    host: tuple[MemoryItem, ...]
    disk: int


def check_model(cfg: DictConfig) -> tuple[list[Row], ModelSize | None]:
    """The model's config, and what it counts to; None where there is none."""
    path, maker = shipped(cfg.model.path), maker_of(cfg)
    if maker and maker.get("source") and isinstance(maker.source, str):
        path = maker.source  # a copy of its shape is made at the start
    elif maker and maker.get("experiment") and not Path(path).is_dir():
        made = f"{path} is not there yet: the run makes it first, by experiment={maker.experiment}"
        return [Row(Status.WARN, "model", f"{made}; memory is not known before")], None
    try:
        config, has_weights = read_config(path)
        model = measure_model(
            config,
            freeze_vision_tower=cfg.model.freeze_vision_tower,
            freeze_merger=cfg.model.freeze_merger,
            freeze_language_model=cfg.model.freeze_language_model,
            lora=instantiate(cfg.model.lora),
        )
    except ConfigError as error:
        return [Row(Status.FAIL, "model", f"model.path: {error}")], None
    text = (
        f"{path}: {model.num_params / 1e6:,.1f} M weights, {model.num_vision_params / 1e6:,.1f} M "
        f"of them in the vision tower, {model.num_trainable / 1e6:,.1f} M learn"
    )
    rows = _refusals(cfg, config, family_named(config["model_type"], where=path))
    if has_weights:
        return [*rows, Row(Status.OK, "model", text)], model
    if Path(path).is_dir():
        text += "; but the folder has no .safetensors"
        return [*rows, Row(Status.FAIL, "model", text)], model
    text += "; not on this disk yet: a run would download the weights first"
    return [*rows, Row(Status.WARN, "model", text)], model


def _refusals(cfg: DictConfig, config: Mapping[str, Any], family: Family) -> list[Row]:
    """Of an engine of ours that cannot run the model's family, and of layers that cannot be split
    over processes.
    """
    rows: list[Row] = []
    try:
        if kind := engine_kind(cfg):
            check_runs(family, engine=kind)
    except ConfigError as error:
        rows.append(Row(Status.FAIL, "engine", str(error)))
    try:
        if cfg.model.context_parallel > 1:
            meta_policy(config, packing=True, context_parallel=cfg.model.context_parallel)
    except ConfigError as error:
        rows.append(Row(Status.FAIL, "settings", str(error)))
    return rows


def needs(cfg: DictConfig, model: ModelSize, machine: Machine) -> Needs:
    """Of a run with these settings."""
    is_gpu = is_on_gpu(cfg, machine)
    learning, engine = learning_load(cfg, model), engine_load(cfg, model, machine)
    device: list[MemoryItem] = [*(learning_items(model, learning) if learning else ())]
    sampling = engine_items(model, engine) if engine else []
    if cfg.get("overlap"):  # it samples while the policy learns
        sampling = [replace(item, when=When.ALWAYS) for item in sampling]
    device += sampling
    loading, disk = 0, 0
    if learning:
        device.append(_kept_features(cfg, model, learning))
        own = parse_dtype(cfg.model.dtype).itemsize
        copies = own if learning.reference_bytes is None else 2 * own
        loading = model.num_base * (copies + own * learning.has_critic)
        saved = parse_dtype(cfg.callbacks.checkpoint.get("model_dtype") or cfg.model.dtype).itemsize
        # the checkpoints that are kept and one being written; the model, and again in MLflow
        kept = cfg.callbacks.checkpoint.get("keep", 2) + 1
        disk = kept * checkpoint_bytes(model, learning) + 2 * model.num_base * saved
    host = [
        MemoryItem("the program", PROGRAM_BYTES),
        MemoryItem(
            "decoded pictures",
            cfg.pixels.cache_bytes,
            advice=f"pixels.cache_bytes={cfg.pixels.cache_bytes // 4}",
        ),
    ]
    if is_gpu:
        if learning:
            host.append(_patches_of_a_step(model, learning))
        device.append(MemoryItem("CUDA context", CUDA_BYTES))
        advice = "model.reference_dtype=bfloat16"
        host.append(MemoryItem("weights while loading", loading, advice=advice))
    return Needs(tuple(device), tuple(host), disk)


def _patches_of_a_step(model: ModelSize, load: LearningLoad) -> MemoryItem:
    """Float32 on their way to the device, each picture's and, joined, all of a micro-batch."""
    patches = load.micro_batch_size * load.picture_tokens * model.patches_per_token
    size = 2 * 4 * model.patch_dim * patches
    return MemoryItem("patches of a step", size, When.LEARNING, "plan.micro_batch_size=1")


def learning_load(cfg: DictConfig, model: ModelSize) -> LearningLoad | None:
    """What the trainer holds; None where nothing is trained."""
    if not cfg.get("module"):
        return None
    own, compute, reference = weight_bytes(cfg), compute_bytes(cfg), None
    if needs_reference(cfg):
        named = cfg.model.reference_dtype
        reference = parse_dtype(named).itemsize if named else own
    traces = cfg.datamodule.get("traces")
    response = traces.max_tokens if traces else cfg.env.limits.max_response_tokens
    prompt, picture = prompt_tokens(cfg), model.picture_tokens(cfg.pixels.max_pixels)
    sequence = response if traces else prompt + picture + response
    batching = traces or cfg.plan
    num_sequences, most = batching.micro_batch_size, batching.micro_batch_tokens
    is_shared, shared = cfg.model.shared_prefix and not traces, 0
    if most is not None:  # rounded up: shorter sequences fill what the longest leave
        num_sequences = min(num_sequences, -(-most // (response if is_shared else sequence)))
        shared = max(num_sequences * sequence - max(most, sequence), 0) if is_shared else 0
    elif is_shared:
        num_prompts = -(-num_sequences // cfg.plan.group_size)
        shared = (num_sequences - num_prompts) * (prompt + picture)
    return LearningLoad(
        weight_bytes=own,
        compute_bytes=compute,
        num_ranks=cfg.trainer.devices * cfg.trainer.num_nodes,
        zero_stage=cfg.strategy.get("stage") if _is_zero(cfg) else None,
        reference_bytes=reference,
        micro_batch_size=num_sequences * (1 + sum(answers_beside(cfg))),
        sequence_tokens=sequence,
        response_tokens=response,
        picture_tokens=picture + (cfg.env.limits.max_images - 1) * crop_tokens(cfg, model),
        is_tower_trained=not cfg.model.freeze_vision_tower,
        is_checkpointed=cfg.model.gradient_checkpointing,
        logits_chunk_tokens=cfg.module.get("logits_chunk_tokens")
        or _default(PolicyModule, "logits_chunk_tokens"),
        vocab_tile=VOCAB_TILE,
        has_critic=bool(cfg.get("critic")),
        parts=num_parts(cfg),
        gather_bytes=gather_bytes(cfg),
        shared_tokens=shared,
        together=cfg.model.context_parallel,
    )


def weight_bytes(cfg: DictConfig) -> int:
    """Of a weight as the trainer keeps it."""
    if _is_zero(cfg) or str(cfg.trainer.precision).endswith("-true"):
        return compute_bytes(cfg)
    return parse_dtype(cfg.model.dtype).itemsize


def gather_bytes(cfg: DictConfig) -> int | None:
    """Of a weight of FSDP2 while its layer is whole, where that is not as it is kept."""
    named = cfg.strategy.get("gather_dtype") if num_parts(cfg) > 1 else None
    return parse_dtype(named).itemsize if named else None


def compute_bytes(cfg: DictConfig) -> int:
    """Of an activation."""
    return 4 if str(cfg.trainer.precision).startswith("32") else 2


def _is_zero(cfg: DictConfig) -> bool:
    return is_deepspeed(cfg.strategy) and isinstance(cfg.strategy, DictConfig)


def num_parts(cfg: DictConfig) -> int:
    """That FSDP2 cuts a model into; 1 without it."""
    strategy = cfg.strategy
    if not isinstance(strategy, DictConfig) or "copies" not in strategy:
        return 1
    return max(cfg.trainer.devices * cfg.trainer.num_nodes // strategy.copies, 1)


def answers_beside(cfg: DictConfig) -> list[int]:
    """Rows that probes whose answers are learned from add at most to each rollout's own, by probe:
    they stand in the same micro-batches. 0 where the data decide.
    """
    if cfg.datamodule.get("plan") is None:
        return []
    told = [one for one in cfg.probes.values() if one.get("coef") or is_given(one)]
    probes = [instantiate(one) for one in told]  # others may hold a model
    return [p.most_answers or 0 for p in probes if isinstance(p, TeachingProbe) and p.coef > 0]


def engine_load(cfg: DictConfig, model: ModelSize, machine: Machine) -> EngineLoad | None:
    """What the engine holds on the trainer's device; None where its weights are elsewhere."""
    kind, engine = engine_kind(cfg), cfg.engine
    if kind not in ("hf", "vllm"):
        return None
    reserved = _vllm_bytes(cfg, model, machine) if kind == "vllm" else None
    is_hf = kind == "hf"

    def setting(name: str) -> Any:
        return engine.get(name, _default(hf.HFEngine, name) if is_hf else 0)

    prompt = prompt_tokens(cfg) + model.picture_tokens(cfg.pixels.max_pixels)
    return EngineLoad(
        dtype_bytes=parse_dtype(cfg.model.engine_dtype).itemsize,
        batch_size=engine.get("max_batch_size") or _default(hf.HFEngine, "max_batch_size"),
        prompt_tokens=prompt,
        sequence_tokens=prompt + cfg.env.limits.max_response_tokens + GROWTH_SLOTS,
        prefix_cache_tokens=setting("prefix_cache_tokens"),
        feature_cache_tokens=setting("feature_cache_tokens"),
        encode_tokens=hf_features.ENCODE_TOKENS,
        reserved_bytes=reserved,
        is_asleep_in_updates=bool(engine.get("can_sleep")) and is_on_gpu(cfg, machine),
    )


def _vllm_bytes(cfg: DictConfig, model: ModelSize, machine: Machine) -> int:
    """Its share of a GPU; on a CPU, and where `kv_cache_gib` is set, what it holds."""
    engine = cfg.engine
    if engine.get("kv_cache_gib") is None and is_on_gpu(cfg, machine) and machine.gpus:
        share = engine.get("memory_share") or VLLM_SHARE
        return int(share * min(gpu.total for gpu in machine.gpus))
    weights = model.num_base * parse_dtype(cfg.model.engine_dtype).itemsize
    kept = (engine.get("kv_cache_gib") or 0) + (engine.get("picture_cache_gib") or 0)
    return weights + int(kept * GIB)


def prompt_tokens(cfg: DictConfig) -> int:
    """Of the text before the first turn, about."""
    tools = [instantiate(tool) for tool in cfg.env.tools]
    system = instantiate(cfg.env.prompt).write(tools=tools).system
    return len(system) // CHARACTERS_PER_TOKEN + QUESTION_TOKENS


def crop_tokens(cfg: DictConfig, model: ModelSize) -> int:
    """Of the largest crop that a tool shows; 0 without tools."""
    sides = [tool.get("view_px", 0) for tool in cfg.env.tools]
    return max((model.picture_tokens(side**2) for side in sides), default=0)


def _kept_features(cfg: DictConfig, model: ModelSize, load: LearningLoad) -> MemoryItem:
    """Of a frozen tower, until the phase ends: those of all its pictures, or the limit."""
    limit = cfg.model.vision_cache_bytes or 0
    advice = f"model.vision_cache_bytes={limit // 4}"
    if not cfg.model.freeze_vision_tower or cfg.model.freeze_merger is False:
        return MemoryItem("kept features", 0)
    if cfg.datamodule.get("plan") is None:
        return MemoryItem("kept features", limit, advice=advice)
    prompts = load.together * -(-cfg.plan.prompts_per_phase // load.num_ranks)
    crops = prompts * cfg.plan.group_size * (cfg.env.limits.max_images - 1)
    tokens = prompts * model.picture_tokens(cfg.pixels.max_pixels)
    tokens += crops * crop_tokens(cfg, model)
    size = tokens * model.feature_width * load.compute_bytes
    return MemoryItem("kept features", min(size, limit) if limit else size, advice=advice)


def _default(callee: type, name: str) -> int:
    return inspect.signature(callee).parameters[name].default


def item_rows(items: Sequence[MemoryItem]) -> list[Row]:
    """What takes at least a hundredth of all, largest first, and the rest as one row."""
    total = sum(item.num_bytes for item in items)
    large = [i for i in sorted(items, key=lambda i: -i.num_bytes) if i.num_bytes * 100 >= total]
    during = {When.ALWAYS: "", When.GENERATING: "while sampling", When.LEARNING: "in a step"}
    rows = [
        Row(Status.NOTE, f"  {i.name}", f"{i.num_bytes / GIB:8.3f} GiB  {during[i.when]}".rstrip())
        for i in large
    ]
    rest = total - sum(item.num_bytes for item in large)
    return [*rows, Row(Status.NOTE, "  the rest", f"{rest / GIB:8.3f} GiB")] if rest else rows


def check_memory(cfg: DictConfig, found: Needs, machine: Machine) -> list[Row]:
    """The items, and each kind of memory with its verdict; the last row sums up."""
    ranks = cfg.trainer.devices
    items = (*found.device, *found.host)
    header = f"of each of {ranks} processes" if ranks > 1 else "of the process"
    header += ", at most: every sequence as long as the limits allow"
    rows = [Row(Status.NOTE, "memory", header), *item_rows(items)]
    if cfg.get("module") and 0 in answers_beside(cfg):
        text = "not counted: how many answers are learned from beside a rollout, the data decide"
        rows.append(Row(Status.NOTE, "probes", text))
    if not is_on_gpu(cfg, machine):
        return [*rows, verdict("RAM", items, machine.ram, copies=ranks)]
    if not machine.gpus:
        size = peak_bytes(found.device) / GIB
        rows.append(Row(Status.FAIL, "GPU memory", f"needs {size:.1f} GiB per GPU; none is here"))
    else:
        smallest = min(machine.gpus[:ranks], key=lambda gpu: gpu.total)
        rows.append(verdict("GPU memory", found.device, smallest, where=" per GPU"))
    return [*rows, verdict("RAM", found.host, machine.ram, copies=ranks)]


def verdict(
    name: str, items: Sequence[MemoryItem], there: Space, *, copies: int = 1, where: str = ""
) -> Row:
    """Whether the peak of the items fits, and if it does not, what would make it smaller."""
    needed = copies * peak_bytes(items)
    if needed > there.total:
        text = (
            f"does not fit: needs {needed / GIB:.1f} GiB{where}, there are "
            f"{there.total / GIB:.1f}: try {advise(items)}"
        )
        return Row(Status.FAIL, name, text)
    text = f"fits: {needed / GIB:.1f} of {there.total / GIB:.1f} GiB{where}"
    if needed > there.free:
        text += f", but only {there.free / GIB:.1f} are free now: other programs hold the rest"
        return Row(Status.WARN, name, text)
    return Row(Status.OK, name, text)
