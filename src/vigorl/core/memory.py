"""How much memory a run needs, from the sizes of its model and its settings. Plain arithmetic: no
torch, no device, so that it can be checked by hand for machines that are not here.

Of one rank, in bytes. What is there all the time (weights, optimizer, caches) adds up; sampling and
learning take turns, so of what each needs on top only the larger counts:

    peak = sum(always) + max(sum(generating), sum(learning))

What follows from shapes is exact (weights, gradients, AdamW, keys and values). Activations and
logits are counted on one layer; the vision tower's are a rule of thumb. Lengths are the limits of
the settings, so a run whose rollouts are shorter stays below. Left out: fragmentation, NCCL's
buffers, ZeRO's gather buckets and offloading, tensor parallelism, kernels that keep scores
(attn_implementation=eager).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum

GIB = 2**30
KEPT_TURNS_BYTES = GIB  # that the hf engine has room for, where no number of tokens is given

LOGITS_COPIES = 4  # as computed, in float32, as probabilities, and as a gradient


class When(StrEnum):
    """In which part of a phase memory is held."""

    ALWAYS = "always"
    GENERATING = "generating"
    LEARNING = "learning"


@dataclass(frozen=True, slots=True)
class MemoryItem:
    """One thing that takes memory.

    Attributes:
        name: For the table.
        num_bytes: Of one rank.
        when: It is held.
        advice: Settings that make it smaller, largest effect first; "" where there is none.
    """

    name: str
    num_bytes: int
    when: When = When.ALWAYS
    advice: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSize:
    """What of a vision-language model costs memory.

    Attributes:
        num_params: All weights, adapters included, tied ones once.
        num_vision_params: Of tower and merger.
        num_trainable: Weights that learn.
        num_adapter: Of adapters, which are float32 beside any weights.
        layers: Of the language model; so are hidden, intermediate and kv_width (numbers in one
            layer's keys of one token).
        feature_width: Numbers per picture token that the tower hands over.
        vision_hidden: Of the tower; so are vision_intermediate and vision_depth.
        patch_dim: Numbers per patch.
        patches_per_token: Merged into one picture token.
        pixels_per_token: Area of a picture token.
        thumbnail_pixels: Shown beside a picture that is cut into two tiles or more; 0: none is.
        num_head: Weights of the output head, 0 where they are the input embedding's.
        is_head_trained: They learn.
        linear_layers: Of the layers, those of linear attention: no keys and values, a state.
        linear_state: Numbers that one such layer keeps per sequence.
        linear_width: Of its values.
        norms: As wide as the model, of a layer.
    """

    num_params: int
    num_vision_params: int
    num_trainable: int
    num_adapter: int
    layers: int
    hidden: int
    intermediate: int
    kv_width: int
    vocab: int
    feature_width: int
    vision_hidden: int
    vision_intermediate: int
    vision_depth: int
    patch_dim: int
    patches_per_token: int
    pixels_per_token: int
    num_head: int = 0
    is_head_trained: bool = True
    linear_layers: int = 0
    linear_state: int = 0
    linear_width: int = 0
    thumbnail_pixels: int = 0
    norms: int = 2

    @property
    def without_head(self) -> ModelSize:
        """A critic, but for its head of one number."""
        trained = self.num_trainable - (self.num_head if self.is_head_trained else 0)
        return replace(
            self, num_params=self.num_params - self.num_head, num_trainable=trained, num_head=0
        )

    @property
    def num_base(self) -> int:
        """Weights of the model itself, without adapters."""
        return self.num_params - self.num_adapter

    def kv_bytes(self, num_tokens: int, *, dtype_bytes: int) -> int:
        """Keys and values of that many tokens in all layers that have them."""
        return (self.layers - self.linear_layers) * 2 * self.kv_width * dtype_bytes * num_tokens

    def picture_tokens(self, num_pixels: int) -> int:
        """Placeholders of a picture of that area."""
        is_cut = num_pixels >= 2 * self.thumbnail_pixels
        return -(-(num_pixels + is_cut * self.thumbnail_pixels) // self.pixels_per_token)


@dataclass(frozen=True, slots=True, kw_only=True)
class LearningLoad:
    """What the trainer does on each rank.

    Attributes:
        weight_bytes: Of a weight as loaded.
        compute_bytes: Of an activation; below weight_bytes it is mixed precision.
        num_ranks: All that share the work.
        zero_stage: Of DeepSpeed; None without it, where every rank holds everything.
        reference_bytes: Of a weight of the KL reference; None without one of its own.
        micro_batch_size: Sequences of one forward pass.
        sequence_tokens: Of the longest sequence, pictures expanded.
        response_tokens: Of these, at most so many are learned from.
        picture_tokens: Of the pictures in a sequence.
        is_tower_trained: The vision tower's activations are kept for the backward pass.
        is_checkpointed: Activations are computed again in the backward pass.
        logits_chunk_tokens, vocab_tile: Tokens and entries of the vocabulary whose logits are alive
            at once.
        has_critic: A model of the same size, without its output head, learns in the same steps.
        parts: That FSDP2 cuts weights, gradients and moments into; 1 without it.
        gather_bytes: Of a weight of these while it is whole; None: as loaded.
        shared_tokens: Of a micro-batch's, so many are not read again (model.shared_prefix).
        together: Ranks that read each micro-batch together (model.context_parallel).
    """

    weight_bytes: int
    compute_bytes: int
    num_ranks: int
    zero_stage: int | None
    reference_bytes: int | None
    micro_batch_size: int
    sequence_tokens: int
    response_tokens: int
    picture_tokens: int
    is_tower_trained: bool
    is_checkpointed: bool
    logits_chunk_tokens: int
    vocab_tile: int
    has_critic: bool = False
    parts: int = 1
    gather_bytes: int | None = None
    shared_tokens: int = 0
    together: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineLoad:
    """What an engine with weights on the trainer's device does.

    Attributes:
        dtype_bytes: Of its weights, keys and values.
        batch_size: Requests sampled together.
        prompt_tokens: Of the longest prompt, pictures expanded.
        sequence_tokens: Of the longest dialog, pictures expanded.
        prefix_cache_tokens: Whose keys and values are kept between turns; None: as many as
            `KEPT_TURNS_BYTES` hold.
        feature_cache_tokens: Picture tokens whose features are kept.
        encode_tokens: Picture tokens that go through the tower at once.
        reserved_bytes: What an engine takes whole, such as vLLM's share of the device; replaces
            all of the above. None where it takes what it needs.
        is_asleep_in_updates: What is reserved is given back while the policy is updated.
    """

    dtype_bytes: int
    batch_size: int
    prompt_tokens: int
    sequence_tokens: int
    prefix_cache_tokens: int | None
    feature_cache_tokens: int
    encode_tokens: int
    reserved_bytes: int | None = None
    is_asleep_in_updates: bool = False


def learning_items(model: ModelSize, load: LearningLoad) -> list[MemoryItem]:
    """Weights, gradients, optimizer, reference, and one micro-batch; those of a critic beside."""
    items = _weight_items(model, load)
    if load.reference_bytes is not None:
        size = model.num_base * load.reference_bytes
        advice = ", ".join(("kl_coef=0", _fewer(model)))
        items.append(MemoryItem("KL reference", size, advice=advice))
    items += _micro_batch_items(model, load)
    if load.has_critic:
        items += _critic_items(model.without_head, load)
    return items


def _critic_items(critic: ModelSize, load: LearningLoad) -> list[MemoryItem]:
    """Its activations are there together with the policy's: one backward pass goes through both."""
    activations = activation_bytes(critic, load)
    advice = "plan.micro_batch_size=1, algorithm=turn_returns"
    return [
        *(replace(one, name=f"critic's {one.name}") for one in _weight_items(critic, load)),
        MemoryItem("critic's activations", activations, When.LEARNING, advice),
    ]


def _fewer(model: ModelSize) -> str:
    return "model.lora={_target_:vigorl.models.lora.LoraSettings}" if not model.num_adapter else ""


def _weight_items(model: ModelSize, load: LearningLoad) -> list[MemoryItem]:
    """Weights, gradients and optimizer of one model.

    Without DeepSpeed: weights and AdamW's two moments as loaded, and the casts that autocast keeps
    of trained weights; under FSDP2 a part of each, and what is whole at a time: the embeddings and
    two layers, in `gather_bytes`, which need no casts. With DeepSpeed: weights in the compute
    dtype, float32 copies and moments in shards (stage 1), float32 gradients in shards (stage 2),
    weights in shards (stage 3); see `training.strategy.ZeROStrategy` for the dtype of gradients.

    Source: ZeRO, arXiv:1910.02054, section 3.1.
    """
    trained, shards = model.num_trainable - model.num_adapter, load.num_ranks
    stage, is_mixed = load.zero_stage, load.compute_bytes < load.weight_bytes
    shard = f"strategy=zero{3 if stage else 2} trainer.devices=8" if (stage or 0) < 3 else ""
    shard = shard or f"trainer.devices={max(8, 2 * shards)}"
    if load.has_critic or load.parts > 1:  # DeepSpeed is refused beside a critic
        shard = f"strategy=fsdp2 trainer.devices={8 if load.parts == 1 else 2 * shards}"
    both = ", ".join(filter(None, (shard, _fewer(model))))
    items: list[MemoryItem] = []
    if stage is None:
        own, adapters, parts = load.weight_bytes, 4 * model.num_adapter, load.parts
        learned = (trained * own + adapters) // parts
        weights = (model.num_base * own + adapters) // parts
        items.append(MemoryItem("weights", weights, advice=shard))
        items.append(MemoryItem("gradients", learned, advice=both))
        items.append(MemoryItem("AdamW moments", 2 * learned, advice=both))
        if parts > 1:
            layers = model.vocab * model.hidden + 2 * model.num_base // model.layers
            whole = layers * (load.gather_bytes or own)
            items.append(MemoryItem("whole layers", whole, When.LEARNING))
        elif shards > 1:
            items.append(MemoryItem("DDP buckets", trained * own + adapters, advice=both))
        if is_mixed and load.gather_bytes is None:
            casts = model.num_trainable * load.compute_bytes
            items.append(MemoryItem("autocast copies", casts, When.LEARNING, both))
    else:
        weights = model.num_params * load.compute_bytes // (shards if stage == 3 else 1)
        gradients = model.num_trainable * (4 if stage > 1 else load.compute_bytes)
        items.append(MemoryItem("weights", weights, advice=shard))
        items.append(
            MemoryItem("gradients", gradients // (shards if stage > 1 else 1), advice=both)
        )
        items.append(MemoryItem("float32 copies", 4 * model.num_trainable // shards, advice=both))
        items.append(MemoryItem("AdamW moments", 8 * model.num_trainable // shards, advice=both))
    return items


def _micro_batch_items(model: ModelSize, load: LearningLoad) -> list[MemoryItem]:
    items = [
        MemoryItem(
            "activations",
            activation_bytes(model, load),
            When.LEARNING,
            "plan.micro_batch_size=1, model.packing=true model.context_parallel=2, a smaller "
            "limits.max_response_tokens"
            if load.is_checkpointed
            else "model.gradient_checkpointing=true, plan.micro_batch_size=1",
        ),
        MemoryItem(
            "logits",
            min(load.logits_chunk_tokens, _part(load.micro_batch_size * load.response_tokens, load))
            * min(load.vocab_tile, model.vocab) * 4 * LOGITS_COPIES,
            When.LEARNING,
            f"+module.logits_chunk_tokens={max(load.logits_chunk_tokens // 4, 64)}",
        ),
    ]  # fmt: skip
    pictures = load.micro_batch_size * load.picture_tokens
    layers = model.vision_depth if load.is_tower_trained and not load.is_checkpointed else 1
    size = tower_bytes(model, pictures, dtype_bytes=load.compute_bytes, num_layers=layers)
    items.append(
        MemoryItem("pictures of a step", size, When.LEARNING, "a smaller pixels.max_pixels")
    )
    return items


def activation_bytes(model: ModelSize, load: LearningLoad) -> int:
    """What the language model's layers keep of a micro-batch for the backward pass.

    Bytes per token and layer, on float32 weights (computing in float32 or under autocast):

        32 hidden + (2 kv + 4 intermediate) x compute_bytes

    two norms' inputs and float32 copies, what the projections read, queries and attention's output;
    keys and values; gate, up, gate's activation and the product. On 16-bit weights 20 hidden. Each
    norm beyond two takes 11 hidden more, on 16-bit weights 8. Linear attention computes in float32
    chunks of 64: 130 (90) per number of its values on top, as transformers does it without
    flash-linear-attention. The layer that is in its backward pass counts twice, for its gradients.
    With checkpointing: each layer's input, and that one layer. Beside them the mask of a padded
    batch. Where tokens are shared, attention keeps keys and values of every sequence, in the width
    of the queries. Ranks that read together have a part of all that; what goes into the layers and
    comes out of them each has whole.

    Source: tensors that autograd saves of transformers' Qwen2.5-VL decoder layer with sdpa,
    counted; a test counts them again. After arXiv:2205.05198, section 4.1, of a GPT layer.
    """
    every = load.micro_batch_size * load.sequence_tokens
    row = every - load.shared_tokens
    around = 0 if load.together == 1 else 2 * row * model.hidden * load.weight_bytes
    every, tokens = _part(every, load), _part(row, load)
    inner = (2 * model.kv_width + 4 * model.intermediate) * load.compute_bytes
    base, per_norm, per_value = (32, 11, 130) if load.weight_bytes == 4 else (20, 8, 90)
    layer = tokens * ((base + per_norm * (model.norms - 2)) * model.hidden + inner)
    if load.shared_tokens:
        layer += 2 * every * model.hidden * load.compute_bytes
    delta = tokens * per_value * model.linear_width
    inputs = tokens * model.hidden * load.weight_bytes * model.layers
    mask = tokens * load.sequence_tokens * load.compute_bytes
    all_layers = layer * model.layers + delta * model.linear_layers
    kept = inputs + layer + delta if load.is_checkpointed else all_layers
    return kept + layer + delta + mask + around


def _part(num: int, load: LearningLoad) -> int:
    """Of so many tokens, one rank's."""
    return -(-num // load.together)


def tower_bytes(model: ModelSize, num_tokens: int, *, dtype_bytes: int, num_layers: int = 1) -> int:
    """One pass of pictures through the vision tower: patches as float32, and the layers whose
    activations are held at once. A rule of thumb.
    """
    patches = num_tokens * model.patches_per_token
    layer = 8 * model.vision_hidden + 3 * model.vision_intermediate
    return patches * (4 * model.patch_dim + dtype_bytes * layer * num_layers)


def engine_items(model: ModelSize, load: EngineLoad) -> list[MemoryItem]:
    """Weights, caches, and a batch of dialogs at its longest.

    The hf engine holds keys and values twice for the moment in which it makes room for more.
    """
    if load.reserved_bytes is not None:
        return [
            MemoryItem(
                "engine's share",
                load.reserved_bytes,
                When.GENERATING if load.is_asleep_in_updates else When.ALWAYS,
                advice="a smaller engine_limits.memory_share",
            )
        ]
    fewer = f"engine.max_batch_size={max(load.batch_size // 4, 1)}, a smaller"
    size, rows = load.dtype_bytes, load.batch_size
    batch_kv = 2 * model.kv_bytes(rows * load.sequence_tokens, dtype_bytes=size)
    batch_kv += 4 * rows * model.linear_layers * model.linear_state  # float32
    kept = KEPT_TURNS_BYTES
    if load.prefix_cache_tokens is not None:
        kept = model.kv_bytes(load.prefix_cache_tokens, dtype_bytes=size)
    if model.linear_layers:
        kept = 0
    numbers = 6 * model.hidden + 2 * model.kv_width + 3 * model.intermediate
    reading = rows * load.prompt_tokens * (numbers + 2 * load.prompt_tokens) * size
    return [
        MemoryItem("engine weights", model.num_base * size, advice="model.engine_dtype=bfloat16"),
        MemoryItem(
            "engine's kept turns", kept, advice="+engine.prefix_cache_tokens=0"
        ),
        MemoryItem(
            "engine's kept features", load.feature_cache_tokens * model.feature_width * size,
            advice="+engine.feature_cache_tokens=8192",
        ),
        MemoryItem(
            "KV cache", batch_kv, When.GENERATING, f"{fewer} limits.max_response_tokens"
        ),
        MemoryItem("reading prompts", reading, When.GENERATING, f"{fewer} pixels.max_pixels"),
        MemoryItem(
            "engine's pictures", tower_bytes(model, load.encode_tokens, dtype_bytes=size),
            When.GENERATING,
        ),
    ]  # fmt: skip


def peak_bytes(items: Iterable[MemoryItem]) -> int:
    """Of one rank: what is always there, and the larger of sampling and learning."""
    sums = dict.fromkeys(When, 0)
    for item in items:
        sums[item.when] += item.num_bytes
    return sums[When.ALWAYS] + max(sums[When.GENERATING], sums[When.LEARNING])


def advise(items: Iterable[MemoryItem], *, count: int = 3) -> str:
    """What makes the largest items smaller, each setting once."""
    largest = sorted((i for i in items if i.advice), key=lambda i: -i.num_bytes)[:count]
    said = dict.fromkeys(part for item in largest for part in item.advice.split(", "))
    return ", ".join(said)


def checkpoint_bytes(model: ModelSize, load: LearningLoad) -> int:
    """Of one checkpoint on disk, all ranks together: all weights and the optimizer's state."""
    if load.has_critic:
        alone = replace(load, has_critic=False)
        return checkpoint_bytes(model, alone) + checkpoint_bytes(model.without_head, alone)
    if load.zero_stage is not None:
        return model.num_params * load.compute_bytes + 12 * model.num_trainable
    trained = model.num_trainable - model.num_adapter
    return (model.num_base + 2 * trained) * load.weight_bytes + 12 * model.num_adapter
