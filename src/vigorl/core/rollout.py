"""What a policy did with one task: turns, their rollout, its reward, and the sample to learn from.

Everything here is written once, when it happens. A sampled token is never decoded and encoded
again; the loss mask is the record of who wrote a token, not a search for tags.

A two-turn rollout of the made world, ids shortened:

    prompt_ids  [system ... user <image_pad> question ... assistant]        loss_mask 0
    turn 1      completion_ids [<think> ... </tool_call> <|im_end|>]        loss_mask 1
                observation_ids [user <observation> ... assistant]          loss_mask 0
    turn 2      completion_ids [<think> ... </answer> <|im_end|>]           loss_mask 1

Ids hold ONE placeholder per image; whoever needs the expanded form asks
`data.encoding.expand_image_pads`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import cached_property
from typing import TypeVar

from vigorl.core.geometry import Box
from vigorl.core.media import ImageView, Region
from vigorl.core.records import TaskRecord
from vigorl.core.trace import ParsedTurn, parse_turn

Value = TypeVar("Value")
GUEST = -1  # the policy version of an answer that the policy did not give


class StopReason(StrEnum):
    """Why a rollout ended."""

    ANSWERED = "answered"  # the policy answered
    NO_ACTION = "no_action"  # a turn neither called a tool nor answered
    TURN_LENGTH = "turn_length"  # a turn hit the tokens-per-turn limit
    TOKEN_BUDGET = "token_budget"  # no room for the next observation or turn
    TURN_LIMIT = "turn_limit"  # the last allowed turn still did not answer
    TOOL_DONE = "tool_done"  # a tool said that the task is over
    REFUSED = "refused"  # the model behind an endpoint would not answer; the last turn is empty

    @property
    def is_truncated(self) -> bool:
        """Whether a limit, not the policy, ended the rollout."""
        return self in (StopReason.TURN_LENGTH, StopReason.TOKEN_BUDGET, StopReason.TURN_LIMIT)


@dataclass(frozen=True)  # no slots: `parsed` is kept
class Turn:
    """One assistant turn and the environment's reply to it.

    Attributes:
        prefix_ids: Tokens put into the policy's mouth before it samples (the forced answer); never
            trained on.
        completion_ids: Sampled tokens, the turn's end token included when it was sampled.
        sampling_logprobs: One per completion token, nats, at sampling temperature, from the engine
            that sampled it; none at all where that engine knows none (a teacher behind a chat API).
        text: Prefix and completion decoded, without special tokens.
        observation_ids: The environment's tokens up to and including the next assistant header;
            empty on the last turn.
        observation: The environment's reply as text; "" on the last turn.
        views: The pictures of the observation, in the order of their placeholders.
        focus: Where the tool looked, or None.
        tool_error: Why a tool call was refused; "" when it worked or there was none.
    """

    completion_ids: tuple[int, ...]
    sampling_logprobs: tuple[float, ...]
    text: str
    prefix_ids: tuple[int, ...] = ()
    observation_ids: tuple[int, ...] = ()
    observation: str = ""
    views: tuple[ImageView, ...] = ()
    focus: Region | None = None
    tool_error: str = ""

    def __post_init__(self) -> None:
        if self.sampling_logprobs and len(self.completion_ids) != len(self.sampling_logprobs):
            raise ValueError(
                f"{len(self.completion_ids)} completion tokens but "
                f"{len(self.sampling_logprobs)} sampling logprobs"
            )

    @cached_property
    def parsed(self) -> ParsedTurn:
        """What the turn says, read when it is first asked for."""
        return parse_turn(self.text)


@dataclass(frozen=True, slots=True)
class Rollout:
    """Everything one policy did with one task.

    Attributes:
        task: The task.
        prompt_ids: Chat prompt with one placeholder per image, ending in the assistant header.
        prompt_views: The pictures of the prompt in order; points in thoughts refer to the first.
        turns: In order, at least one.
        stop_reason: Why it ended.
        group: Rollouts of the same prompt in the same phase share it.
        index: Position in the group, from 0.
        policy_version: The published weights that sampled it; `GUEST` where none did.
        probes: What extra dialogs have shown about it, by name; empty where none were asked.
        turn_versions: [T] the weights that sampled each turn where they differ (`rollout.left`);
            `policy_version` is then the oldest. Empty where one sampled all.
    """

    task: TaskRecord
    prompt_ids: tuple[int, ...]
    prompt_views: tuple[ImageView, ...]
    turns: tuple[Turn, ...]
    stop_reason: StopReason
    group: str = ""
    index: int = 0
    policy_version: int = 0
    probes: Mapping[str, float] = field(default_factory=dict)
    turn_versions: tuple[int, ...] = ()

    @property
    def token_ids(self) -> tuple[int, ...]:
        """Prompt and all turns, one placeholder per image."""
        ids = list(self.prompt_ids)
        for turn in self.turns:
            ids += (*turn.prefix_ids, *turn.completion_ids, *turn.observation_ids)
        return tuple(ids)

    @property
    def loss_mask(self) -> tuple[int, ...]:
        """1 where the policy sampled the token, else 0; as long as `token_ids`."""
        return self.spread([[1] * len(turn.completion_ids) for turn in self.turns], fill=0)

    @property
    def sampling_logprobs(self) -> tuple[float, ...]:
        """As long as `token_ids`; 0.0 where nothing was sampled, and empty of a guest.

        Raises:
            ValueError: A turn came from an engine that knows no logprobs: it can be judged or
                shown, not trained on by RL.
        """
        if self.is_guest:
            return ()
        if any(turn.completion_ids and not turn.sampling_logprobs for turn in self.turns):
            raise ValueError(
                f"rollout {self.group}/{self.index} has no sampling logprobs, because its "
                "engine gives none; RL needs them"
            )
        return self.spread([turn.sampling_logprobs for turn in self.turns], fill=0.0)

    @property
    def is_guest(self) -> bool:
        """Whether somebody else wrote it, who says nothing of its likelihood; see
        `training.guests`.
        """
        return self.policy_version == GUEST

    def spread(self, values: Iterable[Sequence[Value]], *, fill: Value) -> tuple[Value, ...]:
        """A sequence as long as `token_ids`: each turn's values on its sampled tokens, `fill`
        elsewhere.

        Raises:
            ValueError: Another number of sequences than turns.
        """
        spread = [fill] * len(self.prompt_ids)
        for turn, sampled in zip(self.turns, values, strict=True):
            spread += [fill] * len(turn.prefix_ids)
            spread += sampled
            spread += [fill] * len(turn.observation_ids)
        return tuple(spread)

    def by_turn(self, values: Sequence[Value]) -> list[Sequence[Value]]:
        """Values of all sampled tokens, one after the other, cut into turns."""
        found, first = [], 0
        for turn in self.turns:
            found.append(values[first : first + len(turn.completion_ids)])
            first += len(turn.completion_ids)
        return found

    @property
    def views(self) -> tuple[ImageView, ...]:
        """All pictures in the order of their placeholders."""
        return self.prompt_views + self.shown

    @property
    def without_noise(self) -> Rollout:
        """The same, as if all pictures had been shown without Gaussian noise."""
        if not any(view.is_noisy for view in self.views):
            return self
        return replace(
            self,
            prompt_views=tuple(view.without_noise for view in self.prompt_views),
            turns=tuple(
                replace(turn, views=tuple(view.without_noise for view in turn.views))
                for turn in self.turns
            ),
        )

    @property
    def shown(self) -> tuple[ImageView, ...]:
        """What the tools showed, in order."""
        return tuple(view for turn in self.turns for view in turn.views)

    @property
    def crops(self) -> tuple[ImageView, ...]:
        """Those of the pictures shown by tools that are a part of a picture, in order."""
        return tuple(view for view in self.shown if view.box is not None)

    @property
    def looks(self) -> tuple[Region, ...]:
        """Where the tools looked, in order."""
        return tuple(turn.focus for turn in self.turns if turn.focus is not None)

    @property
    def looks_at_first(self) -> tuple[Region, ...]:
        """Those of the looks that are at the first picture, or at a part of it, in order."""
        scene = self.views
        found = (look.on_first(scene) for look in self.looks)
        return tuple(look for look in found if look is not None)

    @property
    def answer(self) -> str | None:
        """The final answer's text, or None when there is none."""
        return self.turns[-1].parsed.answer

    @property
    def score(self) -> float:
        """How right the answer is, in [0, 1], whatever reward trains."""
        return self.task.score(self.answer, view=next(iter(self.prompt_views), None))

    @property
    def num_tool_errors(self) -> int:
        return sum(bool(turn.tool_error) for turn in self.turns)


def group_indices(rollouts: Iterable[Rollout]) -> list[list[int]]:
    """Where the rollouts of each group stand, which may be interleaved; groups by first rollout."""
    groups: dict[str, list[int]] = {}
    for i, rollout in enumerate(rollouts):
        groups.setdefault(rollout.group, []).append(i)
    return list(groups.values())


@dataclass(frozen=True, slots=True)
class RewardBreakdown:
    """A rollout's reward and the parts it is made of.

    Attributes:
        total: What the advantage is computed from.
        parts: Each part before weighting, in its own stated range.
        weights: What a unit of each part counts in `total`; empty where that is not known, as of
            records from before there were any.
        turns: [T] what each turn was paid for itself, weighted; contained in `total`. Empty where
            no turn was paid.
        missing: Parts that could not be computed (a judge did not answer); they are in neither
            `parts` nor `total`, and the rollout is not compared with others.
    """

    total: float
    parts: Mapping[str, float] = field(default_factory=dict)
    weights: Mapping[str, float] = field(default_factory=dict)
    turns: tuple[float, ...] = ()
    missing: tuple[str, ...] = ()

    @property
    def outcome(self) -> float:
        """What the rollout was paid as a whole: the total without what its turns were paid."""
        return self.total - sum(self.turns)


@dataclass(frozen=True, slots=True)
class ScoredRollout:
    """A rollout with its reward and, once its group is complete, its advantage.

    Attributes:
        rollout: The rollout.
        reward: Its reward and the parts of it.
        advantage: Unitless; where tokens are credited one by one, the mean over those sampled.
    """

    rollout: Rollout
    reward: RewardBreakdown
    advantage: float = 0.0


@dataclass(frozen=True, slots=True)
class TrainingSample:
    """One sequence to learn from; SFT and GRPO use the same one.

    All sequences but `views` are [L] long; ids hold one placeholder per image.

    Attributes:
        token_ids: [L] prompt and turns.
        loss_mask: [L] 1 on tokens to learn from.
        views: The pictures in the order of their placeholders.
        sampling_logprobs: [L] nats; empty for SFT.
        advantages: [L] unitless, 0.0 on tokens that are not learned from; empty for SFT.
        old_logprobs: [L] nats under the trainer's weights of the phase's start, where they were
            read before the credit (`training.readings`); else empty.
        ref_logprobs: [L] the same under the reference.
        old_values: [L] what the critic of the phase's start expected before each token; empty
            without a critic. So are `returns`, what it should have expected.
        token_weight: What each of this sample's loss tokens counts in its optimizer batch: the
            batch loss is sum_i token_weight_i * sum_t mask_it * loss_it. See
            `core.advantages.token_weights`.
        token_share: 1 / the loss tokens of its optimizer batch, over all ranks: what each token
            counts in a plain mean over them, however the algorithm weighs tokens.
        group: Which prompt it is of; "" for SFT.
        targets: What must be seen or hit, ORIGINAL frame of the first picture; empty where that is
            not known, and for SFT.
        is_guest: Whether no engine sampled it, though it is learned from beside what one has; see
            `training.guests`.
        is_replayed: Whether an earlier policy sampled it; what is old to it are then its
            `sampling_logprobs`.
    """

    token_ids: tuple[int, ...]
    loss_mask: tuple[int, ...]
    views: tuple[ImageView, ...]
    sampling_logprobs: tuple[float, ...] = ()
    advantages: tuple[float, ...] = ()
    token_weight: float = 1.0
    token_share: float = 1.0
    group: str = ""
    old_logprobs: tuple[float, ...] = ()
    ref_logprobs: tuple[float, ...] = ()
    is_guest: bool = False
    targets: tuple[Box, ...] = ()
    is_replayed: bool = False
    old_values: tuple[float, ...] = ()
    returns: tuple[float, ...] = ()

    @property
    def without_noise(self) -> TrainingSample:
        """The same under its pictures without Gaussian noise."""
        if not any(view.is_noisy for view in self.views):
            return self
        return replace(self, views=tuple(view.without_noise for view in self.views))

    def __post_init__(self) -> None:
        if len(self.token_ids) != len(self.loss_mask):
            raise ValueError(f"{len(self.token_ids)} tokens but {len(self.loss_mask)} mask entries")
        for name, values in (
            ("sampling logprobs", self.sampling_logprobs),
            ("advantages", self.advantages),
            ("old logprobs", self.old_logprobs),
            ("reference logprobs", self.ref_logprobs),
            ("old values", self.old_values),
            ("returns", self.returns),
        ):
            if values and len(values) != len(self.token_ids):
                raise ValueError(f"{len(self.token_ids)} tokens but {len(values)} {name}")
