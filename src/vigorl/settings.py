"""Every setting's type and range in one place, read without torch: `check_values`.

A model below is a group, with the keys of all its choices that vigorl ships. A node whose
`_target_` is code of your own is left to that code, and a value that is absent to whoever needs it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Annotated, Any, Literal, get_args

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import InterpolationToMissingValueError, OmegaConfBaseException
from pydantic import BaseModel, ConfigDict, Field, ValidationError, WrapValidator
from pydantic_core import PydanticCustomError

from vigorl.core.errors import ConfigError, VigorlError
from vigorl.targets import nearest

MOST = 10**9  # of what is counted; more is a slip of the hand
MOST_THREADS = max(64, os.cpu_count() or 1)  # torch dies of more than the machine can start
OWN = ("vigorl.", "lightning.")  # the code whose keys are known here


def _says(allowed: str) -> WrapValidator:
    """The whole range in words, whichever end of it was missed."""

    def check(value: Any, handler: Any) -> Any:
        try:
            return handler(value)
        except ValidationError:
            raise PydanticCustomError("range", "{allowed}", {"allowed": allowed}) from None

    return WrapValidator(check)


_whole = Field(strict=True, le=MOST)
_finite = Field(strict=True, allow_inf_nan=False, le=1e9, ge=-1e9)

Flag = Annotated[bool, Field(strict=True), _says("true or false")]
Text = Annotated[str, Field(strict=True, min_length=1), _says("text, and not empty")]
AnyText = Annotated[str, Field(strict=True), _says("text")]
Texts = Annotated[list[Text], _says("a list of texts")]
Urls = Annotated[list[Text], Field(min_length=1), _says("a list of URLs, at least one")]
Node = Annotated[dict[str, Any], _says("a group of settings")]
Count = Annotated[int, _whole, Field(ge=0), _says("a whole number from 0 on")]
AtLeastOne = Annotated[int, _whole, Field(ge=1), _says("a whole number from 1 on")]
AtLeastTwo = Annotated[int, _whole, Field(ge=2), _says("a whole number from 2 on")]
Bytes = Annotated[int, Field(strict=True, ge=1, le=10**15), _says("a number of bytes, at least 1")]
Tokens = Annotated[int, Field(strict=True, ge=1, le=10**15), _says("a whole number from 1 on")]
Seed = Annotated[int, Field(strict=True, ge=0, lt=2**32), _says("a whole number from 0 to 2^32-1")]
Threads = Annotated[
    int, Field(strict=True, ge=1, le=MOST_THREADS), _says(f"1 to {MOST_THREADS} on this machine")
]
Side = Annotated[int, Field(strict=True, ge=1, le=10**5), _says("1 to 100000 pixels")]
Area = Annotated[
    int, Field(strict=True, ge=784, le=MOST), _says("784 pixels (a token of 28 x 28) or more")
]
Share = Annotated[float, _finite, Field(ge=0, le=1), _says("a share, from 0 to 1")]
BelowOne = Annotated[float, _finite, Field(ge=0, lt=1), _says("from 0 to below 1")]
ShareAboveZero = Annotated[float, _finite, Field(gt=0, le=1), _says("above 0 and up to 1")]
NotNegative = Annotated[float, _finite, Field(ge=0), _says("a finite number from 0 on")]
Positive = Annotated[float, _finite, Field(gt=0), _says("a finite number above 0")]
Dtype = Literal["float64", "float32", "float16", "bfloat16"]
Normalization = Literal["token_mean", "sequence_mean", "constant_length"]


class _Group(BaseModel):
    """Of code with a `_target_`, which knows itself what else it takes."""

    model_config = ConfigDict(extra="allow", protected_namespaces=())


class _Plain(BaseModel):
    """Of no code's: no other key has an effect."""

    model_config = ConfigDict(extra="forbid", protected_namespaces=())


class Paths(_Plain):
    root: Text
    outputs: Text
    base: Text
    run: Text
    world: Text
    start: Text


class Lora(_Group):
    rank: AtLeastOne
    alpha: Positive
    dropout: BelowOne
    target_modules: Texts | None


class Model(_Plain):
    path: Text
    dtype: Dtype
    engine_dtype: Dtype
    reference_dtype: Dtype | None
    attn_implementation: Text
    freeze_vision_tower: Flag
    freeze_merger: Flag | None
    gradient_checkpointing: Flag
    lora: Lora | None
    vision_cache_bytes: Bytes | None
    maker: Node | None


class Tiny(_Group):
    model_type: Text
    vocab_size: AtLeastOne
    hidden: AtLeastOne
    layers: AtLeastOne
    ffn: AtLeastOne
    vision_hidden: AtLeastOne
    vision_depth: AtLeastOne
    max_pixels: Area | None
    min_pixels: Area | None
    max_positions: AtLeastOne


class PictureSize(_Plain):
    min_pixels: AtLeastOne
    max_pixels: Area
    cache_bytes: Annotated[int, Field(strict=True, ge=0, le=10**15), _says("bytes, from 0 on")]


class Zoom(_Plain):
    window_px: Side
    view_px: Side
    whole_px: Side


class Limits(_Plain):
    max_turns: AtLeastOne
    max_images: AtLeastOne
    max_new_tokens: AtLeastOne
    max_response_tokens: AtLeastOne
    forced_answer: Flag


class Gaps(_Plain):
    max_mean_gap: Positive
    max_gap: Positive | None


class Alignment(_Group):
    num_rollouts: AtLeastOne
    every: AtLeastOne
    max_mean_gap: Positive
    max_gap: Positive | None


class EngineLimits(_Plain):
    max_model_len: AtLeastOne | None
    max_num_seqs: AtLeastOne
    max_batched_tokens: AtLeastOne
    memory_share: ShareAboveZero
    kv_cache_gib: Positive | None
    picture_cache_gib: NotNegative
    block_size: AtLeastOne | None
    enforce_eager: Flag
    can_sleep: Flag


class Near(_Plain):
    search_px: NotNegative
    chains_px: NotNegative


class Plan(_Group):
    prompts_per_phase: AtLeastOne
    group_size: AtLeastTwo
    sequences_per_update: AtLeastOne
    micro_batch_size: AtLeastOne
    passes: AtLeastOne


class Schedule(_Plain):
    lr: ShareAboveZero
    weight_decay: Share
    schedule: Literal["constant", "linear", "cosine"]
    warmup_frac: BelowOne


class Sft(Schedule):
    gradient_clip: Positive | None
    max_epochs: AtLeastOne


class Optimizer(_Group):
    lr: ShareAboveZero
    weight_decay: Share
    betas: Annotated[
        list[BelowOne], Field(min_length=2, max_length=2), _says("two numbers in [0, 1)")
    ]
    eps: Annotated[float, _finite, Field(gt=0, le=1), _says("above 0 and up to 1")]
    schedule: Literal["constant", "linear", "cosine"]
    warmup_frac: BelowOne
    final_frac: Share


class Traces(_Group):
    sequences_per_update: AtLeastOne
    micro_batch_size: AtLeastOne
    max_tokens: AtLeastOne
    normalization: Normalization
    constant_length: AtLeastOne | None


class Correction(_Group):
    level: Literal["token", "sequence", "sequence_mean"]
    mode: Literal["truncate", "mask"]
    cap_low: NotNegative | None
    cap_high: Positive
    min_gap: NotNegative


class Algorithm(_Group):
    clip_low: NotNegative
    clip_high: NotNegative
    dual_clip: Annotated[float, _finite, Field(gt=1), _says("above 1, or null")] | None
    kl_coef: NotNegative
    scale_by_std: Flag
    normalization: Normalization
    constant_length: AtLeastOne | None
    mask_truncated: Flag


class Prompt(_Group):
    domain: Literal["visual_search", "spatial", "web_grounding", "web_action"]
    form: Literal["tools", "reply", "think", "steps"]
    answer: AnyText | Node
    opening: AnyText
    is_brief: Flag


class Tool(_Group):
    window_px: Side
    view_px: Side
    name: Text
    shown: AnyText


class Env(_Plain):
    prompt: Prompt
    tools: list[Tool]
    step_reply: AnyText
    limits: Limits
    temperature: NotNegative
    top_p: ShareAboveZero
    eval_temperature: NotNegative


class Scene(_Group):
    side_px: Side
    num_signs: AtLeastTwo
    has_near_miss: Flag
    near_miss_px: Annotated[
        list[Positive], Field(min_length=2, max_length=2), _says("two distances above 0")
    ]
    num_clutter: Annotated[int, Field(strict=True, ge=0, le=10**5), _says("0 to 100000")]
    num_occluders: Annotated[int, Field(strict=True, ge=0, le=10**5), _says("0 to 100000")]
    margin_px: Side


class Teacher(_Group):
    hasty_frac: Share
    look_again_frac: Share
    look_at_second_frac: Share
    error_px: Count
    max_looks: AtLeastOne


class Mix(_Group):
    zoom: NotNegative
    single_look: NotNegative
    ungrounded: NotNegative
    pointing: Flag
    zoom_system: AnyText
    single_look_system: AnyText
    ungrounded_system: AnyText


class Data(_Group):
    root: Text
    file: Text
    path: Text
    seed: Seed
    num_train: Count
    num_val: Count
    num_test: Count
    num_traces: Count
    comparison_frac: Share
    photographs: Text | None
    view: Side
    scene: Scene
    teacher: Teacher
    mix: Mix
    tool: Tool | None
    scorer: Node | None
    read: Node
    trace_categories: Texts | None
    categories: Annotated[list[Text], Field(min_length=1), _says("a list of names")] | None
    as_benchmark: Flag
    val_frac: BelowOne
    test_frac: BelowOne
    holdout_frac: BelowOne
    image_root: Text | None
    train_tasks: Text | None
    val_tasks: Text | None
    traces: Text | None
    form: Literal["folders", "questions"]
    option_seed: Seed
    base: Data


class Reward(_Group):
    accuracy_weight: NotNegative
    format_weight: NotNegative
    diversity_weight: NotNegative
    require_points: Flag
    multi_turn: Flag
    max_zooms: AtLeastOne
    bonus: NotNegative
    target_rate: Share
    penalty: NotNegative
    free_looks: Count
    max_penalty: NotNegative
    only_if_correct: Flag


class Sampler(_Group):
    skip_below: Share
    skip_above: Share
    floor_frac: Share
    exponent: NotNegative
    smoothing: BelowOne
    trees: Text | None
    image_root: Text | None


class EarlyStop(_Group):
    metric: Text
    mode: Literal["max", "min"]
    patience: AtLeastOne | None
    min_delta: NotNegative


class Engine(_Group):
    max_batch_size: AtLeastOne
    device: Text
    urls: Urls
    api: Literal["tokens", "chat"]
    transfer: Literal["shared_memory", "nccl", "ipc", "none"]
    adapters_only: Flag
    model: Text | None
    extra: Node | None
    api_key_env: Text | None
    bucket_bytes: Bytes
    shared_folder: Text
    transfer_address: Text | None
    max_concurrent: Annotated[int, Field(strict=True, ge=1, le=10**5), _says("1 to 100000")]
    timeout_s: Positive
    max_attempts: AtLeastOne
    backoff_s: NotNegative
    max_backoff_s: NotNegative
    give_up_s: NotNegative
    max_images: AtLeastOne
    max_model_len: AtLeastOne | None
    max_num_seqs: AtLeastOne
    max_batched_tokens: AtLeastOne
    memory_share: ShareAboveZero
    kv_cache_gib: Positive | None
    picture_cache_gib: NotNegative
    block_size: AtLeastOne | None
    enforce_eager: Flag
    can_sleep: Flag
    prefix_caching: Flag
    tensor_parallel_size: AtLeastOne
    adapter_rank: Annotated[
        AtLeastOne | Literal["auto"] | None, _says("a whole number from 1 on, auto or null")
    ]
    stop_strings: Texts


class Check(_Group):
    urls: Urls
    model: Text
    api_key_env: Text | None
    extra: Node | None
    max_new_tokens: AtLeastOne
    max_side_px: Annotated[int, Field(strict=True, ge=64, le=10**5), _says("64 to 100000 pixels")]
    max_concurrent: Annotated[int, Field(strict=True, ge=1, le=10**5), _says("1 to 100000")]
    timeout_s: Positive
    max_attempts: AtLeastOne
    backoff_s: NotNegative
    max_backoff_s: NotNegative


class ProbeSchedule(_Group):
    every: AtLeastOne
    num_rollouts: AtLeastOne | None


class Probe(_Group):
    schedule: ProbeSchedule


class Signal(_Group):
    top_frac: ShareAboveZero | None


class Search(_Group):
    num_simulations: AtLeastOne
    num_children: Count
    num_rollouts: AtLeastOne
    exploration: NotNegative
    num_retries: Count
    near_px: NotNegative
    solved_after: Count
    hopeless_after: Count


class Budget(_Group):
    max_tokens: Tokens | None
    max_requests: Tokens | None
    max_seconds: Positive | None


class ChainForm(_Group):
    form: Literal["multi_turn", "single_turn"]
    max_looks: AtLeastOne
    move_first_frac: Share
    seed: Seed


class Filters(_Group):
    max_turns: AtLeastOne | None
    max_length: AtLeastOne | None
    min_points: Count
    max_points: Count | None
    max_repeats: Count | None
    near_px: NotNegative
    keep_near_duplicates: Flag


class Picking(_Group):
    max_per_tree: AtLeastOne
    corrected_frac: Share | None
    seed: Seed


class Chains(_Plain):
    settings: ChainForm
    filters: Filters
    picking: Picking


class RolloutGroup(_Group):
    eval_every: Count
    eval_limit: AtLeastOne | None
    alignment: Alignment | None


class DataModule(_Group):
    plan: Plan | None
    traces: Traces | None
    sampler: Sampler | None
    num_workers: Annotated[int, Field(strict=True, ge=0, le=1024), _says("0 to 1024")]
    views_per_step: AtLeastOne
    window_px: Side
    view_px: Side


class Callback(_Group):
    folder: Text
    every: AtLeastOne
    keep: AtLeastOne
    num_groups: Count
    max_eval_rollouts: Count
    model_folder: Text | None
    model_dtype: Dtype | None
    log_model: Flag


class Trainer(_Group):
    accelerator: Literal["auto", "cpu", "gpu", "cuda", "mps", "tpu", "hpu"]
    devices: AtLeastOne
    num_nodes: AtLeastOne
    precision: Literal["64-true", "32-true", "16-true", "bf16-true", "16-mixed", "bf16-mixed"]
    max_epochs: Count
    accumulate_grad_batches: AtLeastOne
    gradient_clip_val: Positive | None
    use_distributed_sampler: Annotated[
        Literal[False], _says("false: each rank has its own prompts already")
    ]
    reload_dataloaders_every_n_epochs: Count
    num_sanity_val_steps: Count
    log_every_n_steps: AtLeastOne
    enable_progress_bar: Flag
    enable_model_summary: Flag
    enable_checkpointing: Flag


class Logger(_Group):
    experiment_name: Text
    run_name: Text
    tracking_uri: Text | None
    artifact_location: Text | None


class ModuleGroup(_Group):
    algorithm: Algorithm | None
    importance_correction: Correction | None
    logits_chunk_tokens: AtLeastOne


class Strategy(_Group):
    stage: Annotated[int, Field(strict=True, ge=1, le=3), _says("1, 2 or 3")] = 1


class Settings(_Group):
    """What a door composes, or what a stage changes; a key of your own may stand beside."""

    name: Text
    doors: Texts
    seed: Seed
    resume: Text | None
    stages: dict[str, Settings] | None
    num_threads: Threads | None
    plugins: Texts
    paths: Paths
    model: Model
    tiny: Tiny
    pixels: PictureSize
    zoom: Zoom
    limits: Limits
    alignment: Gaps
    engine_limits: EngineLimits
    near: Near
    brief_prompts: Flag
    plan: Plan
    optimizer: Optimizer
    sft: Sft
    traces: Traces
    precision: Literal["64-true", "32-true", "16-true", "bf16-true", "16-mixed", "bf16-mixed"]
    num_phases: AtLeastOne
    max_epochs: Count
    reload_every: Count
    accumulate: AtLeastOne
    gradient_clip: Positive | None
    kl_coef: NotNegative
    importance_correction: Correction | None
    algorithm: Algorithm
    env: Env
    data: Data
    reward: Reward
    sampler: Sampler | None
    early_stop: EarlyStop | None
    probes: dict[str, Probe]
    signals: dict[str, Signal]
    engine: Engine
    strategy: Strategy | AnyText
    trainer: Trainer
    logger: Logger
    callbacks: dict[str, Callback]
    module: ModuleGroup
    rollout: RolloutGroup | None
    datamodule: DataModule
    # evaluate
    split: Literal["train", "val", "test"]
    samples_per_task: AtLeastOne
    limit: AtLeastOne | None
    compare_with: Text | None
    locked: Settings
    # synthesize
    scorer: Node
    trees: Text | None
    max_in_flight: Annotated[int, Field(strict=True, ge=1, le=10**5), _says("1 to 100000")]
    budget: Budget
    check: Check | None
    search: Search
    chains: Chains
    # export
    checkpoint: Text
    folder: Text
    dtype: Dtype | None


def check_values(cfg: DictConfig) -> None:
    """Compare every value with its type and range; absent ones are not asked for.

    Raises:
        ConfigError: Some are not allowed; one line with their keys, the values, and what is.
    """
    broken: list[str] = []
    plain = _resolved(cfg, broken)
    try:
        Settings.model_validate(plain)
    except ValidationError as error:
        refused = dict(_refused(plain, error))
        said = [key for key in refused if not _is_borrowed(cfg, key)]
        if found := [refused[key] for key in said or refused]:
            raise ConfigError("; ".join(found)) from None
    if broken:
        raise ConfigError(broken[0])
    _check_together(plain)


def refuse_missing(cfg: DictConfig) -> None:
    """Raises ConfigError where a value is missing that the YAMLs cannot know."""
    if missing := set(_missing(cfg)):
        raise ConfigError(f"set {', '.join(sorted(missing))}: no default can know it")


def _missing(node: DictConfig, path: str = "") -> Iterator[str]:
    for key in node:
        at = f"{path}.{key}".lstrip(".")
        if OmegaConf.is_missing(node, key):
            yield at
        elif not OmegaConf.is_interpolation(node, key) and OmegaConf.is_dict(node[key]):
            yield from _missing(node[key], at)


def one_line(error: BaseException) -> str:
    """The first line of its message."""
    return f"{type(error).__name__}: {str(error).strip()}".splitlines()[0]


def _check_together(plain: dict[str, Any]) -> None:
    pixels = plain.get("pixels", {})
    if pixels.get("min_pixels", 0) > pixels.get("max_pixels", MOST):
        raise ConfigError(
            f"pixels.min_pixels must not be above pixels.max_pixels={pixels['max_pixels']}, "
            f"got {pixels['min_pixels']}"
        )
    outputs = plain.get("paths", {}).get("outputs", "")
    is_stored_there = (
        plain.get("logger", {}).get("tracking_uri") == f"sqlite:///{outputs}/mlflow.db"
    )
    if is_stored_there and any(sign in outputs for sign in "%?"):
        raise ConfigError(
            f"paths.outputs must have no % and no ? in its name, which the URL of MLflow's store "
            f"cannot say, got {outputs!r}; set another, or logger.tracking_uri"
        )


def _refused(plain: Any, error: ValidationError) -> Iterator[tuple[str, str]]:
    """(key, what is wrong with it). Of a value that fits none of several forms each is named."""
    for one in error.errors(include_url=False):
        if one["type"] == "missing":
            continue
        key, value = _place(plain, one["loc"])
        if one["type"] == "extra_forbidden":
            yield key, f"there is no setting {key}{_guess(key)}"
            continue
        allowed = one["msg"].removeprefix("Input should be ")
        if one["type"] in ("model_type", "dict_type", "model_attributes_type"):
            allowed = "a group of settings"
        yield key, f"{key} must be {allowed}, got {value!r}"


def fields_of(group: str) -> list[str]:
    """The known keys of a group, by its path ("" is the top), whether or not its YAML has them."""
    kind: Any = Settings
    for part in group.split(".") if group else []:
        fields = getattr(kind, "model_fields", None)
        kind = (fields[part].annotation if part in fields else None) if fields else kind
        while (inner := get_args(kind)) and kind is not None:  # X | None, list[X], dict[str, X]
            kind = next((one for one in inner if one not in (str, type(None))), None)
    return list(getattr(kind, "model_fields", {}))


def _guess(key: str) -> str:
    group, _, name = key.rpartition(".")
    meant = nearest(name, fields_of(group))
    return f"; did you mean {group}.{meant}?" if meant else ""


def _place(plain: Any, loc: tuple[int | str, ...]) -> tuple[str, Any]:
    """The key and its value; pydantic's names of a union's members are no part of it."""
    path: list[str] = []
    for part in loc:
        is_in = isinstance(plain, dict) and part in plain
        if is_in or (isinstance(plain, list) and isinstance(part, int) and part < len(plain)):
            plain = plain[part]
            path.append(str(part))
    return ".".join(path), plain


def _is_borrowed(cfg: DictConfig, key: str) -> bool:
    """Whether a value is another setting's, by an interpolation in the YAMLs."""
    node: Any = cfg
    for part in key.split("."):
        if not OmegaConf.is_config(node):
            return False
        place: Any = int(part) if OmegaConf.is_list(node) else part
        if OmegaConf.is_interpolation(node, place):
            return True
        node = None if OmegaConf.is_missing(node, place) else node[place]
    return False


def _resolved(node: Any, broken: list[str], path: str = "") -> Any:
    """Plain values of a config, without those that are missing, and without the settings of code of
    one's own. What cannot be resolved is noted and left out.
    """
    if OmegaConf.is_list(node):
        return [_resolved(node[i], broken, f"{path}.{i}") for i in range(len(node))]
    if not isinstance(node, DictConfig):
        return node
    plain: dict[str, Any] = {}
    for key in node:
        if OmegaConf.is_missing(node, key) or str(key).startswith("_"):
            continue
        at = f"{path}.{key}".lstrip(".")
        try:
            plain[str(key)] = _resolved(node[key], broken, at)
        except InterpolationToMissingValueError:
            continue
        except (OmegaConfBaseException, ValueError, TypeError, ArithmeticError) as error:
            own = error if isinstance(error, VigorlError) else error.__cause__
            broken.append(str(own) if isinstance(own, VigorlError) else f"{at}: {one_line(error)}")
    is_own = str(node.get("_target_", OWN[0])).startswith(OWN)
    return plain if is_own else {}
