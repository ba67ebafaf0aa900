"""An engine that says what it is told: for tests, for debugging a reward or a tool, for the demo.

    engine = ScriptedEngine(by_turn([tool_turn, answer_turn]), codec)

It can finish requests late and in an odd order, which is how tests prove that nothing waits at a
turn barrier.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from vigorl.core.errors import EngineError
from vigorl.core.protocols import Completion, GenerationRequest, PublishStats
from vigorl.data.encoding import ChatCodec


def turn_number(request: GenerationRequest) -> int:
    """The turn, from 1, of a request made by a `Dialog` ("group/index/turn")."""
    return int(request.id.rpartition("/")[2])


def by_turn(texts: Sequence[str]) -> Callable[[GenerationRequest], str]:
    """A script that gives every dialog the same turns, in order."""
    return lambda request: texts[turn_number(request) - 1]


@dataclass(slots=True)
class _Waiting:
    request: GenerationRequest
    ticks: int


class ScriptedEngine:
    """Answers each request with the text that `script` gives it.

    Args:
        script: The completion's text, without the forced prefix and without the end token.
        codec: Encodes it; the end token is added, and a text longer than the request allows is cut.
        delay: Extra ticks that a request takes; a poll ticks until something has finished.
        shuffle_seed: Return what finishes together in an odd but reproducible order; None keeps
            the order of submission.
    """

    def __init__(
        self,
        script: Callable[[GenerationRequest], str],
        codec: ChatCodec,
        *,
        delay: Callable[[GenerationRequest], int] | None = None,
        shuffle_seed: int | None = None,
    ) -> None:
        self._script, self._codec, self._delay = script, codec, delay
        self._shuffle = None if shuffle_seed is None else random.Random(shuffle_seed)
        self._waiting: list[_Waiting] = []
        self._policy_version = 0
        self.last_publish: PublishStats | None = None
        self.num_ticks = 0

    @property
    def policy_version(self) -> int:
        return self._policy_version

    @property
    def takes_adapters(self) -> bool:
        return False

    @property
    def ranks_per_engine(self) -> int:
        return 1

    @property
    def num_in_flight(self) -> int:
        return len(self._waiting)

    def submit(self, request: GenerationRequest) -> None:
        if any(waiting.request.id == request.id for waiting in self._waiting):
            raise EngineError(f"request {request.id} is already in flight")
        self._waiting.append(_Waiting(request, self._delay(request) if self._delay else 0))

    def poll(self) -> list[Completion]:
        finished: list[_Waiting] = []
        while self._waiting and not finished:
            self.num_ticks += 1
            finished = [waiting for waiting in self._waiting if waiting.ticks <= 0]
            self._waiting = [waiting for waiting in self._waiting if waiting.ticks > 0]
            for waiting in self._waiting:
                waiting.ticks -= 1
        if self._shuffle is not None:
            self._shuffle.shuffle(finished)
        return [self._complete(waiting.request) for waiting in finished]

    def publish(self, weights: Iterable[tuple[str, Any]], *, version: int) -> None:
        num_bytes = sum(tensor.nbytes for _, tensor in weights)
        self._policy_version = version
        self.last_publish = PublishStats(num_bytes, seconds=0.0, version=version)

    def cancel(self, request_ids: Iterable[str]) -> None:
        given_up = set(request_ids)
        self._waiting = [one for one in self._waiting if one.request.id not in given_up]

    def sleep(self) -> None:
        """Nothing: a script takes no memory."""

    def _complete(self, request: GenerationRequest) -> Completion:
        ids = tuple(self._codec.completion_ids(self._script(request)))
        limit = request.sampling.max_new_tokens
        kept = ids[:limit]
        # made-up but recognisable, so that a test can follow each one through masks and files
        logprobs = tuple(-0.1 * (1 + (request.seed + i) % 9) for i in range(len(kept)))
        return Completion(request.id, kept, logprobs, is_finished=len(ids) <= limit)
