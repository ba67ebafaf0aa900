"""How long a phase takes, from sizes and rates. Plain arithmetic: no torch, no device, so that it
can be checked by hand for machines that are not here.

Each part is bound by arithmetic, by memory, by links, by this process's Python, or by steps that
follow each other; of those that overlap the longer counts, and says so.

    read       FLOPs of what the engine reads: prompts (once a group, where it shares them), replies
    see        FLOPs of the engine's vision tower
    decode     per step the weights and the keys and values of all rollouts come from memory; there
               are as many steps as the longest dialog has tokens, with a turn barrier as many as
               the longest turn has, turn after turn
    tools      seconds a call, one after the other
    features   FLOPs of the trainer's vision tower
    logprob    FLOPs of passes without gradient, or what goes over links meanwhile
    update     the same of forward and backward pass; and tokens for heads over links, where devices
               read together
    optimizer  bytes of AdamW
    publish    bytes of the weights
    other      seconds a rollout of this process's own

Parts follow each other; where rollouts are made beside learning the longer of the two counts, and
what both wait for. What a device reaches of its maker's figures is an input (`Achieved`). Left out:
stragglers beyond the longest dialog, judges, probes, evaluation, checkpoints.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from vigorl.core.devices import Device
from vigorl.core.flops import Load, ModelFlops


class Bound(StrEnum):
    """What a part waits for."""

    FLOPS = "arithmetic"
    MEMORY = "memory bandwidth"
    LINK = "links between devices"
    STEPS = "steps that follow each other"
    PYTHON = "Python on the CPU"


class Side(StrEnum):
    """Who is busy in a part."""

    ENGINE = "generating"
    LEARNER = "learning"
    BOTH = "both"


@dataclass(frozen=True, slots=True, kw_only=True)
class Achieved:
    """What is reached of a device, as shares of `Device`, and what is lost between.

    Attributes:
        update: Of its FLOPs, by forward and backward passes; `perf/mfu`, and where layers are
            computed again 4/3 of it.
        forward: By passes without gradient and by an engine that reads.
        memory: Of its memory's rate, by decoding.
        link: Of the link's rate.
        layer_s: Seconds a layer takes for a step however little it computes: starting kernels.
    """

    update: float = 0.35
    forward: float = 0.45
    memory: float = 0.6
    link: float = 0.6
    layer_s: float = 1e-4


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelCost:
    """What of a model costs time.

    Attributes:
        flops: Its matrix products.
        num_params: All weights.
        num_trained: Those that learn.
        layers: Of the language model.
        kv_bytes: Of one token's keys and values in all layers, in the engine's dtype.
        engine_bytes: Of a weight in the engine.
        gather_bytes: Of a weight that travels between devices which keep parts of the model.
        reduce_bytes: Of a gradient that is summed over devices.
        activation_bytes: Of a number between layers.
    """

    flops: ModelFlops
    num_params: int
    num_trained: int
    layers: int
    kv_bytes: int
    engine_bytes: int = 2
    gather_bytes: int = 2
    reduce_bytes: int = 2
    activation_bytes: int = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """One phase.

    Attributes:
        prompts: Of all devices; so are all counts.
        group_size: Rollouts of a prompt.
        turns: Of a rollout, in the mean.
        longest_turns: Of the longest one.
        turn_tokens: Sampled in a turn, in the mean.
        longest_turn_tokens: Of the longest one.
        longest_tokens: Sampled by the rollout that samples most.
        text_tokens: Of a prompt, without its picture.
        picture: What the tower reads of a prompt's picture.
        crop: Of a view that a tool shows; one for each turn but the last.
        max_in_flight: Rollouts of a device that are decoded together.
        updates: Optimizer steps.
        micro_batch_size: Sequences of a forward pass in training, in the mean.
        passes: Times the phase is learned from.
        reads: Passes without gradient over it, such as old and reference logprobs.
        whole_reads: Of these, by weights that every device has all of, such as a reference's own.
        row_tokens: What a sequence is padded to in training, in the mean; None: to nothing.
        shares_prefix: The trainer reads a prompt once for those of a group that are in one forward
            pass; without padding alone.
        scores_all: The head is asked at every position of a row, not at sampled tokens alone.
        is_checkpointed: Layers are computed again in the backward pass.
        shares_prompts: The engine reads a prompt once for a group, and no turn twice.
        keeps_features: A frozen tower runs once for a picture, in the engine and in the trainer.
        has_turn_barrier: Rollouts that are decoded together wait for the longest turn of each.
        zero_stage: Of DeepSpeed; 0: every device has all weights.
        overlaps: Rollouts are made beside learning, by as many devices of their own.
        together: Devices that read each micro-batch of an update together (model.context_parallel).
        tool_s: Of a call; `rollout_s` of all else that is done for a rollout, and not on a device.
    """

    prompts: int
    group_size: int
    turns: float
    longest_turns: float
    turn_tokens: float
    longest_turn_tokens: float
    longest_tokens: float
    text_tokens: float
    picture: Load
    crop: Load
    max_in_flight: int = 256
    updates: int = 1
    micro_batch_size: float = 1
    passes: int = 1
    reads: int = 1
    whole_reads: int = 0
    row_tokens: float | None = None
    shares_prefix: bool = False
    scores_all: bool = False
    is_checkpointed: bool = True
    shares_prompts: bool = True
    keeps_features: bool = True
    has_turn_barrier: bool = False
    zero_stage: int = 0
    overlaps: bool = False
    together: int = 1
    tool_s: float = 0.0
    rollout_s: float = 0.0

    @property
    def rollouts(self) -> int:
        return self.prompts * self.group_size

    @property
    def sampled_tokens(self) -> float:
        """Of one rollout, in the mean."""
        return self.turns * self.turn_tokens

    def prompt_tokens(self, patches_per_token: int) -> float:
        return self.text_tokens + self.picture.patches / patches_per_token

    def sequence_tokens(self, patches_per_token: int) -> float:
        """Of one rollout, in the mean: prompt, crops, what was sampled."""
        crops = (self.turns - 1) * self.crop.patches / patches_per_token
        return self.prompt_tokens(patches_per_token) + crops + self.sampled_tokens

    def padded_tokens(self, patches_per_token: int, *, num_sorted: int) -> float:
        """What a sequence is padded to in the mean, where so many are sorted by length before they
        are cut into micro-batches: all of one such to the longest, one by one to nothing, and
        between in proportion, which is exact where lengths lie evenly.
        """
        mean = self.sequence_tokens(patches_per_token)
        crops = (self.longest_turns - 1) * self.crop.patches / patches_per_token
        longest = self.prompt_tokens(patches_per_token) + crops + self.longest_tokens
        share = (self.micro_batch_size - 1) / max(num_sorted - 1, 1)
        return mean + min(share, 1.0) * max(longest - mean, 0.0)

    def sequences_within(self, num_tokens: float, patches_per_token: int) -> float:
        """Of the mean length, in a forward pass of so many tokens; at least one."""
        whole = self.sequence_tokens(patches_per_token)
        if not self.shares_prefix:
            return max(num_tokens / whole, 1.0)
        first = self.prompt_tokens(patches_per_token)
        group = first + self.group_size * (whole - first)
        if num_tokens >= group:
            return self.group_size * num_tokens / group
        return max((num_tokens - first) / (whole - first), 1.0)

    def learned(self, patches_per_token: int) -> Load:
        """What a pass of the trainer reads of all rollouts."""
        whole = self.row_tokens or self.sequence_tokens(patches_per_token)
        scored = whole if self.scores_all else self.sampled_tokens
        if not self.shares_prefix:
            return Load(tokens=whole, pairs=whole * whole, scored=scored) * self.rollouts
        first = self.prompt_tokens(patches_per_token)
        own = whole - first
        rest = Load(tokens=own, pairs=own * (own + first), scored=scored) * self.rollouts
        times = self.prompts * max(self.group_size / self.micro_batch_size, 1.0)
        return Load(tokens=first, pairs=first * first) * times + rest


@dataclass(frozen=True, slots=True)
class Part:
    """Seconds of a phase, what they are bound by, and whose they are."""

    name: str
    seconds: float
    bound: Bound
    side: Side


@dataclass(frozen=True, slots=True)
class Prediction:
    """A phase by its parts, in their order; `tokens` are what a pass of the trainer reads.

    With `overlaps` the shorter side is `hidden` by the longer one.
    """

    parts: tuple[Part, ...]
    tokens: float
    overlaps: bool = False

    @property
    def hidden(self) -> Side | None:
        if not self.overlaps:
            return None
        return min(Side.ENGINE, Side.LEARNER, key=self._of)

    @property
    def seconds(self) -> float:
        return sum(part.seconds for part in self.parts if part.side is not self.hidden)

    @property
    def longest(self) -> Part:
        """Of those that are not hidden."""
        shown = (part for part in self.parts if part.side is not self.hidden)
        return max(shown, key=lambda part: part.seconds)

    def _of(self, side: Side) -> float:
        return sum(part.seconds for part in self.parts if part.side is side)


def predict(
    model: ModelCost, work: Workload, device: Device, *, num_devices: int, achieved: Achieved
) -> Prediction:
    """Seconds of a phase.

    Args:
        model: What learns; the engine has a copy.
        work: Of all devices together.
        device: Each of them.
        num_devices: They share rollouts and sequences evenly.
        achieved: Of a device.
    """
    forward_rate = num_devices * device.flops * achieved.forward
    sequences = work.learned(model.flops.patches_per_token)
    passes_s = model.layers * achieved.layer_s * work.rollouts / num_devices / work.micro_batch_size
    reading = model.flops.text_forward(sequences) / forward_rate + passes_s
    gather_s = _gather_s(model, work, device, num_devices, achieved)
    calls = work.rollouts * max(work.turns - 1, 0.0)
    engine_seen, trainer_seen = _seen_flops(model, work)
    tools_s = calls * work.tool_s / num_devices
    other_s = work.rollouts * work.rollout_s / num_devices
    return Prediction(
        (
            Part("read", _read_flops(model, work) / forward_rate, Bound.FLOPS, Side.ENGINE),
            Part("see", engine_seen / forward_rate, Bound.FLOPS, Side.ENGINE),
            _decode(model, work, device, num_devices, achieved),
            Part("tools", tools_s, Bound.PYTHON, Side.ENGINE),
            Part("features", trainer_seen / forward_rate, Bound.FLOPS, Side.LEARNER),
            _logprob(work, reading, gather_s),
            _update(model, work, sequences, device, num_devices, achieved, passes_s, gather_s),
            _optimizer(model, work, device, num_devices, achieved),
            _publish(model, work, device, achieved),
            Part("other", other_s, Bound.PYTHON, Side.ENGINE),
        ),
        sequences.tokens,
        work.overlaps,
    )


def _read_flops(model: ModelCost, work: Workload) -> float:
    """Of the engine's passes over what it did not sample itself."""
    per = model.flops.patches_per_token
    prompt = work.prompt_tokens(per)
    reply = work.turn_tokens + work.crop.patches / per
    first = Load(tokens=prompt, pairs=prompt * prompt, scored=1)
    if work.shares_prompts:
        later = Load(tokens=work.crop.patches / per, scored=1) * max(work.turns - 1, 0.0)
        return model.flops.text_forward(first * work.prompts + later * work.rollouts)
    # every turn of every rollout reads all that came before it
    again = sum(
        model.flops.text_forward(Load(tokens=n, pairs=n * n, scored=1))
        for n in (prompt + i * reply for i in range(round(work.turns)))
    )
    return work.rollouts * again


def _seen_flops(model: ModelCost, work: Workload) -> tuple[float, float]:
    """Of the tower, in the engine and in the trainer."""
    picture, crop = (model.flops.tower_forward(one) for one in (work.picture, work.crop))
    crops = max(work.turns - 1, 0.0)
    once = work.prompts * picture + work.rollouts * crops * crop
    engine = once
    if not work.shares_prompts:  # nor what was seen
        engine = work.rollouts * (work.turns * picture + crops * (crops + 1) / 2 * crop)
    if model.flops.is_tower_trained:
        each = model.flops.tower_update(work.picture)
        each += crops * model.flops.tower_update(work.crop)
        read = work.reads * (picture + crops * crop)
        return engine, work.rollouts * (work.together * work.passes * each + read)
    if work.keeps_features:
        return engine, work.together * once
    times = work.together * work.passes + work.reads
    return engine, times * work.rollouts * (picture + crops * crop)


def _decode(
    model: ModelCost, work: Workload, device: Device, num_devices: int, achieved: Achieved
) -> Part:
    own = work.rollouts / num_devices
    waves = max(own / work.max_in_flight, 1.0)
    if work.has_turn_barrier:
        steps = max(waves * work.turns, work.longest_turns) * work.longest_turn_tokens
    else:  # the place of a rollout that has ended is taken at once
        steps = (waves - 1) * work.sampled_tokens + work.longest_tokens
    num_read = model.flops.layers.num + model.flops.head.num
    weights_s = num_read * model.engine_bytes / (device.memory_rate * achieved.memory)
    context = work.sequence_tokens(model.flops.patches_per_token) - work.sampled_tokens / 2
    kept = own * work.sampled_tokens * context * model.kv_bytes
    memory_s = steps * weights_s + kept / (device.memory_rate * achieved.memory)
    sampled = own * work.sampled_tokens
    flops = model.flops.text_forward(Load(tokens=sampled, pairs=sampled * context, scored=sampled))
    flops_s = flops / (device.flops * achieved.forward)
    steps_s = steps * model.layers * achieved.layer_s
    bound = Bound.MEMORY if memory_s >= flops_s else Bound.FLOPS
    if steps_s > max(memory_s, flops_s):
        bound = Bound.STEPS
    return Part("decode", steps_s + max(memory_s, flops_s), bound, Side.ENGINE)


def _gather_s(
    model: ModelCost, work: Workload, device: Device, num_devices: int, achieved: Achieved
) -> float:
    """Of a forward pass over all micro-batches: for weights that other devices keep."""
    if work.zero_stage < 3:
        return 0.0
    micro_batches = work.rollouts / num_devices / work.micro_batch_size
    sent = micro_batches * model.num_params * model.gather_bytes
    return _link_s(sent, device, num_devices, achieved)


def _link_s(sent: float, device: Device, num_devices: int, achieved: Achieved) -> float:
    """Of bytes of which each device has its share already."""
    return (num_devices - 1) / num_devices * sent / (device.link_rate * achieved.link)


def _logprob(work: Workload, reading: float, gather_s: float) -> Part:
    by_parts = work.reads - work.whole_reads
    seconds = work.whole_reads * reading + by_parts * max(reading, gather_s)
    bound = Bound.LINK if by_parts and gather_s > reading else Bound.FLOPS
    return Part("logprob", seconds, bound, Side.LEARNER)


def _update(
    model: ModelCost,
    work: Workload,
    sequences: Load,
    device: Device,
    num_devices: int,
    achieved: Achieved,
    passes_s: float,
    gather_s: float,
) -> Part:
    flops = model.flops.text_update(sequences)
    flops += model.flops.text_forward(sequences) * work.is_checkpointed
    passes_s, gather_s = work.together * passes_s, work.together * gather_s
    compute_s = flops / (num_devices * device.flops * achieved.update) + 3 * passes_s
    # gradients once an update; with ZeRO-3 the weights too, forward and backward of a micro-batch
    sent = work.updates * 2.0 * model.num_trained * model.reduce_bytes
    link_s = _link_s(sent, device, num_devices, achieved) + 2 * gather_s
    exchange_s = _exchange_s(model, work, sequences.tokens / num_devices, device, achieved)
    bound = Bound.FLOPS if compute_s >= max(link_s, exchange_s) else Bound.LINK
    seconds = max(compute_s, link_s) + exchange_s
    return Part("update", work.passes * seconds, bound, Side.LEARNER)


def _exchange_s(
    model: ModelCost, work: Workload, num_tokens: float, device: Device, achieved: Achieved
) -> float:
    """Of tokens for heads and back, a device's, which no arithmetic hides: queries, keys, values,
    and what attention made of them, in each layer, forwards, backwards, and where layers are
    computed again.
    """
    numbers = 2 * model.flops.query_width + model.kv_bytes / model.engine_bytes
    times = 2 + work.is_checkpointed
    sent = times * numbers * model.activation_bytes * num_tokens
    return _link_s(sent, device, work.together, achieved)


def _optimizer(
    model: ModelCost, work: Workload, device: Device, num_devices: int, achieved: Achieved
) -> Part:
    # AdamW reads weight, gradient and two moments in 32 bits, and writes all but the gradient
    shards = num_devices if work.zero_stage else 1
    moved = work.passes * work.updates * 28.0 * model.num_trained / shards
    seconds = moved / (device.memory_rate * achieved.memory)
    return Part("optimizer", seconds, Bound.MEMORY, Side.LEARNER)


def _publish(model: ModelCost, work: Workload, device: Device, achieved: Achieved) -> Part:
    moved = model.num_params * model.engine_bytes
    if work.zero_stage == 3 or work.overlaps:
        return Part("publish", moved / (device.link_rate * achieved.link), Bound.LINK, Side.BOTH)
    # from one place of a memory to another
    seconds = 2 * moved / (device.memory_rate * achieved.memory)
    return Part("publish", seconds, Bound.MEMORY, Side.BOTH)
