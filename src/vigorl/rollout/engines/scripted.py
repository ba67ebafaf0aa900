"""An engine that says what it is told: for tests, for debugging a reward or a tool, for the demo.

    engine = ScriptedEngine(by_turn([tool_turn, answer_turn]), codec)

It can finish requests late and in an odd order, which is how tests prove that nothing waits at a
turn barrier.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from vigorl.core.protocols import Completion, GenerationRequest
from vigorl.data.encoding import ChatCodec
from vigorl.rollout.engines.in_flight import InFlight


def turn_number(request: GenerationRequest) -> int:
    """The turn, from 1, of a request made by a `Dialog` ("group/index/turn")."""
    return int(request.id.rpartition("/")[2])


def by_turn(texts: Sequence[str]) -> Callable[[GenerationRequest], str]:
    """A script that gives every dialog the same turns, in order."""
    return lambda request: texts[turn_number(request) - 1]


class ScriptedEngine(InFlight[tuple[GenerationRequest, int]]):
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
        super().__init__(image_id=codec.image_id)
        self._script, self._codec, self._delay = script, codec, delay
        self._shuffle = None if shuffle_seed is None else random.Random(shuffle_seed)
        self.num_ticks = 0

    def submit(self, request: GenerationRequest) -> None:
        self._check(request)
        delay = self._delay(request) if self._delay else 0
        self._in_flight[request.id] = request, self.num_ticks + 1 + delay

    def poll(self) -> list[Completion]:
        finished: list[GenerationRequest] = []
        while self._in_flight and not finished:
            self.num_ticks += 1
            waiting = self._in_flight.values()
            finished = [request for request, due in waiting if due <= self.num_ticks]
        if self._shuffle is not None:
            self._shuffle.shuffle(finished)
        self.cancel(request.id for request in finished)
        return [self._complete(request) for request in finished]

    def publish(self, weights: Iterable[tuple[str, Any]], *, version: int) -> None:
        started = time.perf_counter()
        num_bytes = sum(tensor.nbytes for _, tensor in weights)
        self._published(num_bytes, since=started, version=version)

    def _complete(self, request: GenerationRequest) -> Completion:
        ids = tuple(self._codec.completion_ids(self._script(request)))
        limit = request.sampling.max_new_tokens
        kept = ids[:limit]
        # made-up but recognisable, so that a test can follow each one through masks and files
        logprobs = tuple(-0.1 * (1 + (request.seed + i) % 9) for i in range(len(kept)))
        return Completion(request.id, kept, logprobs, is_finished=len(ids) <= limit)
