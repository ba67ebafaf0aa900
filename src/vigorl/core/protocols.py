"""What an engine, a tool and a reward promise each other.

One file each implements them; nothing here imports torch.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from vigorl.core.geometry import Point
from vigorl.core.records import ImageView
from vigorl.core.rollout import Rollout


@dataclass(frozen=True, slots=True)
class SamplingParams:
    """How a turn is sampled; temperature 0 is greedy.

    Attributes:
        max_new_tokens: Limit for one turn.
        temperature: Divides the logits; 0.0 takes the most likely token.
        top_p: Nucleus mass in (0, 1].
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
    """A finished turn: the sampled ids (end token included when sampled) and one logprob each.

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

    def sleep(self) -> None:
        """Give the device's memory back until the next `publish`, which must come before the next
        request; an engine that has none to give does nothing, and then needs no `publish`.
        """
        ...


@runtime_checkable
class ReadingEngine(Protocol):
    """An engine that can show how it reads a prompt."""

    def read(self, request: GenerationRequest) -> PromptReading: ...


class ToolError(Exception):
    """A call that cannot be carried out; the text goes to the policy as the observation."""


@dataclass(frozen=True, slots=True)
class ToolResult:
    """What a tool shows: a crop, where it looked (ORIGINAL frame), and the sentence before it."""

    view: ImageView
    point: Point
    shown: str


@runtime_checkable
class Tool(Protocol):
    """One thing the policy can do to the picture."""

    @property
    def name(self) -> str: ...

    def call(self, arguments: Mapping[str, object], *, image: ImageView) -> ToolResult:
        """Carry out a call on the whole picture `image`; arguments are in the frame of its `size`.

        Raises:
            ToolError: Arguments missing, of the wrong type, or off the picture.
        """
        ...

    def render_arguments(self, target: Point, *, image: ImageView) -> Mapping[str, object]:
        """The arguments that look at an ORIGINAL-frame point; used to write traces."""
        ...


@runtime_checkable
class Reward(Protocol):
    """Scores one rollout; pure, and raises rather than guesses."""

    @property
    def name(self) -> str: ...

    @property
    def range(self) -> tuple[float, float]:
        """Lowest and highest value it can return."""
        ...

    def __call__(self, rollout: Rollout) -> float: ...
