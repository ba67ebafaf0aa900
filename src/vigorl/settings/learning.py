"""Groups of the model and of what learns."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, Field

from vigorl.core.ranges import (
    AtLeastOne,
    AtLeastTwo,
    BelowOne,
    Count,
    NotNegative,
    Positive,
    Seed,
    Share,
    ShareAboveZero,
)
from vigorl.settings.kinds import (
    FINITE,
    Area,
    Bytes,
    Dtype,
    Flag,
    Group,
    Node,
    Normalization,
    Plain,
    Side,
    Text,
    Texts,
    says,
)
from vigorl.settings.kl import KLSchedule, MovingReference


class Paths(Plain):
    root: Text
    outputs: Text
    base: Text
    run: Text
    world: Text
    start: Text
    start_maker: Node | None


class Lora(Group):
    rank: AtLeastOne
    alpha: Positive
    dropout: BelowOne
    target_modules: Texts | None


class Model(Plain):
    path: Text
    dtype: Dtype
    engine_dtype: Dtype
    reference_dtype: Dtype | None
    teacher: Text | None
    attn_implementation: Text
    freeze_vision_tower: Flag
    freeze_merger: Flag | None
    freeze_language_model: Flag
    gradient_checkpointing: Flag
    packing: Flag
    shared_prefix: Flag
    context_parallel: AtLeastOne
    head: Literal["tiles", "liger"]
    lora: Lora | None
    vision_cache_bytes: Bytes | None
    maker: Node | None


class Maker(Group):
    source: Text
    folder: Text
    seed: Seed


class Untrained(Group):
    path: Text
    maker: Maker | None


class Tiny(Group):
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


class PictureSize(Plain):
    min_pixels: AtLeastOne
    max_pixels: Area
    cache_bytes: Annotated[int, Field(strict=True, ge=0, le=10**15), says("bytes, from 0 on")]


class Zoom(Plain):
    window_px: Side
    view_px: Side
    whole_px: Side


class Limits(Plain):
    max_turns: AtLeastOne
    max_images: AtLeastOne
    max_new_tokens: AtLeastOne
    max_response_tokens: AtLeastOne
    forced_answer: Flag
    max_calls_per_turn: AtLeastOne


class Gaps(Plain):
    max_mean_gap: Positive
    max_gap: Positive | None


class Alignment(Group):
    num_rollouts: AtLeastOne
    every: AtLeastOne
    max_mean_gap: Positive
    max_gap: Positive | None


class VLLMLimits(BaseModel):
    """Keys of vLLM in this process, which a scale says and the engine's group takes."""

    max_model_len: AtLeastOne | None
    max_num_seqs: AtLeastOne
    max_batched_tokens: AtLeastOne
    memory_share: ShareAboveZero
    kv_cache_gib: Positive | None
    picture_cache_gib: NotNegative
    block_size: AtLeastOne | None
    enforce_eager: Flag
    can_sleep: Flag


class EngineLimits(VLLMLimits, Plain):
    """Those alone."""


class Near(Plain):
    search_px: NotNegative
    chains_px: NotNegative


class Plan(Group):
    prompts_per_phase: AtLeastOne
    group_size: AtLeastTwo
    sequences_per_update: AtLeastOne
    micro_batch_size: AtLeastOne
    micro_batch_tokens: AtLeastOne | None
    passes: AtLeastOne


class Paper(Plain):
    prompts_per_phase: AtLeastOne
    group_size: AtLeastTwo
    sequences_per_update: AtLeastOne
    passes: AtLeastOne
    lr: ShareAboveZero
    weight_decay: Share
    gradient_clip: Positive | None
    kl_coef: NotNegative
    num_phases: AtLeastOne
    max_turns: AtLeastOne
    max_images: AtLeastOne
    max_response_tokens: AtLeastOne
    max_pixels: AtLeastOne


class Schedule(Plain):
    lr: ShareAboveZero
    weight_decay: Share
    schedule: Literal["constant", "linear", "cosine"]
    warmup_frac: BelowOne


class Sft(Schedule):
    gradient_clip: Positive | None
    max_epochs: AtLeastOne


class Optimizer(Group):
    lr: ShareAboveZero
    weight_decay: Share
    betas: Annotated[
        list[BelowOne], Field(min_length=2, max_length=2), says("two numbers in [0, 1)")
    ]
    eps: Annotated[float, FINITE, Field(gt=0, le=1), says("above 0 and up to 1")]
    schedule: Literal["constant", "linear", "cosine"]
    warmup_frac: BelowOne
    final_frac: Share


class Own(Group):
    files: Text
    right_from: ShareAboveZero
    right_hits: Share | None
    per_prompt: AtLeastOne
    solved_from: Share
    solved_to: ShareAboveZero


class Traces(Group):
    sequences_per_update: AtLeastOne
    micro_batch_size: AtLeastOne
    micro_batch_tokens: AtLeastOne | None
    max_tokens: AtLeastOne
    normalization: Normalization
    constant_length: AtLeastOne | None
    own: Own | None


class Correction(Group):
    level: Literal["token", "sequence", "sequence_mean"]
    mode: Literal["truncate", "mask"]
    cap_low: NotNegative | None
    cap_high: Positive
    min_gap: NotNegative


class Critic(Group):
    lr: ShareAboveZero
    weight_decay: Share
    clip: Positive | None
    warmup_phases: Count


class PairSizes(Plain):
    pairs_per_update: AtLeastOne
    micro_batch_size: AtLeastOne


class Flaws(Group):
    world: Node
    tool: Node
    view: Side
    right_frac: Share


class Pairs(Group):
    rollouts: Text
    pairs_per_update: AtLeastOne
    micro_batch_size: AtLeastOne
    per_prompt: AtLeastOne
    right_from: Share
    wrong_to: Share
    right_hits: Share | None
    wrong_hits: Share | None
    ask: Text
    flaws: Flaws


class PairLoss(Group):
    """Of algorithm=dpo | mpo; all other algorithms state their ranges themselves."""

    beta: Positive
    dpo_weight: NotNegative
    bco_weight: NotNegative
    nll_weight: NotNegative


class Entropy(Group):
    coef_start: Annotated[float, FINITE, Field(ge=-1, le=1), says("from -1 to 1")]
    coef_end: Annotated[float, FINITE, Field(ge=-1, le=1), says("from -1 to 1")] | None
    is_exact: Flag
    target: Positive
    step: Positive
    coef_min: NotNegative
    coef_max: NotNegative


class EarlyStop(Group):
    metric: Text
    mode: Literal["max", "min"]
    patience: AtLeastOne | None
    min_delta: NotNegative


class Temperatures(Group):
    start: Positive
    end: Positive
    until: ShareAboveZero


class Noise(Group):
    steps: Annotated[int, Field(strict=True, ge=1, le=999), says("1 to 999 steps")]
    slope: Positive
    middle: Share
    frac: Annotated[float, FINITE, Field(gt=0, lt=1), says("above 0 and below 1")]
    sigma: Positive
    frac_start: Share
    frac_end: Share


class Teacher(Group):
    hasty_frac: Share
    look_again_frac: Share
    look_at_second_frac: Share
    error_px: Count
    max_looks: AtLeastOne


class Answers(Group):
    path: Text
    image_root: Text | None
    view: Side
    teacher: Teacher


class Guests(Group):
    answers: Answers
    unpaid: Texts
    yields: Flag
    gamma: Positive | None


class SFTMix(Group):
    answers: Answers
    sequences_per_update: AtLeastOne
    peak: Share
    valley: Share
    warmup_frac: Share
    decay_frac: Share
    is_weighted: Flag


class Exploration(Group):
    temperature: Temperatures | None
    noise: Noise | None


class Overlap(Group):
    in_background: Flag
    spare_groups: Count
    max_staleness: AtLeastOne


class RolloutGroup(Group):
    eval_every: Count
    eval_limit: AtLeastOne | None
    alignment: Alignment | None
    groups: Node | None
    overlap: Overlap | None
    reuse_features: Flag


class DataModule(Group):
    plan: Plan | None
    traces: Traces | None
    pairs: Pairs | None
    sampler: Node | None
    num_workers: Annotated[int, Field(strict=True, ge=0, le=1024), says("0 to 1024")]
    views_per_step: AtLeastOne
    window_px: Side
    view_px: Side


class ModuleGroup(Group):
    algorithm: PairLoss | None
    moving_reference: MovingReference | None
    kl_schedule: KLSchedule | None
    importance_correction: Correction | None
    logits_chunk_tokens: AtLeastOne
