"""What an engine, a tool and a reward promise each other.

One file each implements them; nothing here imports torch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Protocol, Self, runtime_checkable

from vigorl.core.geometry import Point
from vigorl.core.media import ImageView, Region
from vigorl.core.records import TaskRecord
from vigorl.core.rollout import RewardBreakdown, Rollout


@dataclass(frozen=True, slots=True)
class SamplingParams:
    """How a turn is sampled; temperature 0 is greedy.

    Attributes:
        max_new_tokens: Limit for one turn.
        temperature: Divides the logits; 0.0 takes the most likely token.
        top_p: Nucleus mass in (0, 1]; greedy takes no notice of it.
    """

    max_new_tokens: int
    temperature: float = 1.0
    top_p: float = 1.0


@dataclass(frozen=True, slots=True)
class GenerationRequest:
    """One turn to generate.

    Attributes:
        id: Unique among the requests in flight.
        prompt_ids: The whole dialog so far, ONE placeholder per image.
        views: The pictures, in the order of their placeholders.
        sampling: How to sample.
        seed: The request's own noise; the result does not depend on which requests share its batch.
    """

    id: str
    prompt_ids: tuple[int, ...]
    views: tuple[ImageView, ...]
    sampling: SamplingParams
    seed: int


@dataclass(frozen=True, slots=True)
class Completion:
    """A finished turn: the sampled ids (end token included when sampled) and one logprob each, of
    the distribution that was sampled from: at temperature, and of the tokens that `top_p` has left.

    `is_finished` is False when the token limit cut it. An engine that knows no logprobs gives none
    at all; such a turn cannot be trained on by RL (`Rollout.sampling_logprobs` raises).
    """

    request_id: str
    token_ids: tuple[int, ...]
    logprobs: tuple[float, ...]
    is_finished: bool


@dataclass(frozen=True, slots=True)
class PromptReading:
    """How an engine reads a request's prompt, for whoever compares it with the trainer's reading.

    Attributes:
        token_ids: [L] pictures expanded.
        image_tokens: How many tokens each picture takes, in order.
        positions: [3, L] M-RoPE positions: time, row, column.
    """

    token_ids: tuple[int, ...]
    image_tokens: tuple[int, ...]
    positions: tuple[tuple[int, ...], ...]


@dataclass(frozen=True, slots=True)
class PublishStats:
    """What one publish cost.

    Attributes:
        num_bytes: Of the weights, as they were sent.
        seconds: From the first weight to the last engine that has them.
        version: The policy version.
    """

    num_bytes: int
    seconds: float
    version: int


@runtime_checkable
class Engine(Protocol):
    """Generates turns.

    Requests may be submitted at any time; `poll` hands back what has finished since the last call.
    """

    @property
    def policy_version(self) -> int:
        """The version of the last published weights."""
        ...

    @property
    def num_in_flight(self) -> int:
        """Requests submitted and not yet returned."""
        ...

    def submit(self, request: GenerationRequest) -> None: ...

    def poll(self) -> list[Completion]:
        """Work until at least one request has finished (or none is in flight) and return what has.

        Raises:
            EngineError: The engine died.
        """
        ...

    def cancel(self, request_ids: Iterable[str]) -> None:
        """Give requests up: `poll` never returns them. Ids that are not in flight are ignored."""
        ...

    @property
    def takes_adapters(self) -> bool:
        """Whether `publish` wants the adapters alone (`models.weight_export.export_adapters`), to
        put them on the weights that the engine started with.
        """
        ...

    def publish(self, weights: Iterable[tuple[str, Any]], *, version: int) -> None:
        """Load new weights (name, tensor) and stamp the version.

        Every cache that holds work of the old weights is dropped.
        """
        ...

    @property
    def last_publish(self) -> PublishStats | None:
        """What the last `publish` cost; None before the first."""
        ...

    @property
    def ranks_per_engine(self) -> int:
        """Ranks of the trainer that share one engine and must all submit the same requests
        (tensor parallelism); 1 where every rank has its own.
        """
        ...

    def sleep(self) -> None:
        """Give the device's memory back until the next `publish`, which must come before the next
        request; an engine that has none to give does nothing, and then needs no `publish`.
        """
        ...


@runtime_checkable
class ReadingEngine(Protocol):
    """An engine that can show how it reads a prompt."""

    def read(self, request: GenerationRequest) -> PromptReading: ...


@runtime_checkable
class StreamingEngine(Protocol):
    """An engine that can say what it samples while it does.

    Attributes:
        on_token: Called with a request's id and each of its tokens; None where nobody listens.
    """

    on_token: Callable[[str, int], None] | None


@runtime_checkable
class EncodingEngine(Protocol):
    """An engine in this process that hands out what it has encoded."""

    @property
    def features(self) -> Mapping[str, Any]:
        """Tensors [image_tokens, width] of pictures, by `ImageView.key`, since the last publish."""
        ...


class ToolError(Exception):
    """A call that cannot be carried out; the text goes to the policy as the observation."""


class ArgumentKind(StrEnum):
    """What an argument of a tool is; the prompt shows an example of it."""

    POINT = "point"  # [x, y] in the frame of the picture's texts
    BOX = "box"  # [x1, y1, x2, y2], likewise
    POINTS = "points"  # [[x, y], ...], likewise
    BOXES = "boxes"  # [[x1, y1, x2, y2], ...], likewise
    INDEX = "index"  # the number of a picture shown so far, from 0
    INDICES = "indices"  # several of them: [0, 2]
    NUMBER = "number"
    TEXT = "text"


@dataclass(frozen=True, slots=True)
class Argument:
    """One argument of a tool.

    Attributes:
        name: Its key in the call.
        kind: What it is.
        is_optional: A call may leave it out.
        choices: The texts that it may be, of a TEXT; none where it is free.
    """

    name: str
    kind: ArgumentKind
    is_optional: bool = False
    choices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ToolSpec:
    """What a policy is told about a tool; prompts are written from it.

    Attributes:
        arguments: In the order in which a call is written.
        purpose: What the action is, such as "a look at a spot".
        reply: What the reply shows, such as "an enlarged cut-out around that spot".
    """

    arguments: tuple[Argument, ...]
    purpose: str
    reply: str


@dataclass(frozen=True, slots=True)
class Scene:
    """All pictures shown in a dialog so far, by index; the prompt's come first.

    Attributes:
        views: At least one.
    """

    views: tuple[ImageView, ...]

    @property
    def first(self) -> ImageView:
        """The first picture of the prompt, whole."""
        return self.views[0]

    def __getitem__(self, index: int) -> ImageView:
        """The picture of an index.

        Raises:
            ToolError: There is none.
        """
        if not 0 <= index < len(self.views):
            raise ToolError(
                f"There is no picture {index}; the pictures are 0 to {len(self.views) - 1}."
            )
        return self.views[index]


@dataclass(frozen=True, slots=True)
class Observation:
    """What a tool replies.

    Attributes:
        parts: Texts and pictures, in reading order; at least one part. Sizes of pictures are
            wishes: the environment fits them to what the model can take.
        focus: Where the tool looked; None where it looked nowhere.
        is_done: The dialog ends here, without another turn.
    """

    parts: tuple[str | ImageView, ...]
    focus: Region | None = None
    is_done: bool = False

    @property
    def views(self) -> tuple[ImageView, ...]:
        """Its pictures in order."""
        return tuple(part for part in self.parts if isinstance(part, ImageView))

    def with_views(self, change: Callable[[ImageView], ImageView]) -> Observation:
        """The same reply with each of its pictures changed."""
        parts = (change(part) if isinstance(part, ImageView) else part for part in self.parts)
        return replace(self, parts=tuple(parts))

    @classmethod
    def joined(cls, replies: Sequence[Observation]) -> Observation:
        """Replies to several calls as one, each on lines of its own; where the last look went."""
        parts = [part for one in replies for part in ("\n", *one.parts)][1:]
        looks = [one.focus for one in replies if one.focus is not None]
        return cls(tuple(parts), looks[-1] if looks else None, any(one.is_done for one in replies))


@runtime_checkable
class OpenTool(Protocol):
    """A tool in one dialog, with what it remembers of it."""

    def call(self, arguments: Mapping[str, object], *, scene: Scene) -> Observation:
        """Carry out a call; coordinates are in the text frames of the scene's pictures.

        Raises:
            ToolError: Arguments missing, of the wrong type, or off the picture.
        """
        ...

    def fork(self) -> OpenTool:
        """The same for a dialog that goes on from here by itself; neither changes the other."""
        ...


@runtime_checkable
class WaitingTool(OpenTool, Protocol):
    """A tool in a dialog that waits for somebody else, who can be asked before it is called, so
    that the questions of many dialogs are answered at the same time.
    """

    def ask_ahead(self, arguments: Mapping[str, object], *, scene: Scene) -> Future[Any] | None:
        """Ask what `call` is going to ask, which then finds the answer, or waits for it.

        Returns:
            Done, with or without an answer, once `call` has nothing to wait for; None now already.
        Raises:
            ToolError: As `call`.
        """
        ...


@runtime_checkable
class Tool(Protocol):
    """One thing that the policy can do."""

    @property
    def name(self) -> str: ...

    @property
    def spec(self) -> ToolSpec: ...

    def open(self, task: TaskRecord) -> OpenTool:
        """The tool at the start of a dialog on a task."""
        ...


class StatelessTool:
    """A tool that remembers nothing is its own `OpenTool`."""

    def open(self, task: TaskRecord) -> Self:
        return self

    def fork(self) -> Self:
        return self


@runtime_checkable
class Looking(Tool, Protocol):
    """A tool that looks at a place of the first picture, whose calls can be written for it."""

    def arguments_at(self, target: Point, *, image: ImageView) -> Mapping[str, object]:
        """The arguments that look at an ORIGINAL-frame point of the picture `image`."""
        ...


@runtime_checkable
class Reward(Protocol):
    """Scores one rollout; pure, and raises rather than guesses (`NoScoreError` where whoever was
    asked did not answer).
    """

    @property
    def name(self) -> str: ...

    @property
    def range(self) -> tuple[float, float]:
        """Lowest and highest value it can return."""
        ...

    def __call__(self, rollout: Rollout) -> float: ...


@runtime_checkable
class TurnReward(Protocol):
    """Scores each turn of a rollout by itself; pure, and raises rather than guesses.

    What a turn is paid must not depend on later turns, or its credit would not be its own.
    """

    @property
    def name(self) -> str: ...

    @property
    def range(self) -> tuple[float, float]:
        """Lowest and highest SUM over a rollout's turns."""
        ...

    def score_turns(self, rollout: Rollout) -> list[float]:
        """[T] one value per turn, in order."""
        ...


@runtime_checkable
class ReadsProbes(Protocol):
    """A reward, or a part of one, that reads what probes have found."""

    @property
    def name(self) -> str: ...

    @property
    def probe_numbers(self) -> tuple[str, ...]:
        """Of `Rollout.probes`, those that it reads; a run without them is refused."""
        ...


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run is when rollouts are judged.

    Attributes:
        phase: Phases done, from 0.
        num_phases: Of the whole run, at least 1.
    """

    phase: int
    num_phases: int

    @property
    def fraction(self) -> float:
        """Share of the phases that are done, in [0, 1]."""
        return min(self.phase / self.num_phases, 1.0)


FINISHED = Progress(1, 1)  # where nothing is trained any more


@runtime_checkable
class GroupReward(Protocol):
    """Scores each rollout of a group by looking at all of them; pure, and raises rather than
    guesses.
    """

    @property
    def name(self) -> str: ...

    @property
    def range(self) -> tuple[float, float]:
        """Lowest and highest value that a rollout can get."""
        ...

    def score_group(
        self,
        rollouts: Sequence[Rollout],
        breakdowns: Sequence[RewardBreakdown],
        *,
        progress: Progress,
    ) -> list[float]:
        """One value per rollout, in order.

        Args:
            rollouts: A whole group; in an evaluation it may be a single rollout.
            breakdowns: What the rollouts got for themselves, without any group reward.
            progress: How far the run is.
        """
        ...
