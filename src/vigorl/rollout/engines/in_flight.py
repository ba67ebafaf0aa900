"""What every engine keeps: who is in flight, the version of its weights, what they cost."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Generic, TypeVar

from vigorl.core.errors import EngineError
from vigorl.core.protocols import GenerationRequest, PublishStats

Work = TypeVar("Work")


class InFlight(Generic[Work]):
    """A base for engines, which any `core.protocols.Engine` may do without.

    Args:
        image_id: The picture placeholder in prompts.
    Attributes:
        policy_version: Of the last published weights.
        last_publish: What they cost; None before the first.
        takes_adapters: As `Engine` says.
        ranks_per_engine: As `Engine` says.
    """

    takes_adapters = False
    ranks_per_engine = 1

    def __init__(self, *, image_id: int) -> None:
        self._image_id = image_id
        self._in_flight: dict[str, Work] = {}  # by request id, in order of submission
        self.policy_version = 0
        self.last_publish: PublishStats | None = None

    @property
    def num_in_flight(self) -> int:
        return len(self._in_flight)

    def cancel(self, request_ids: Iterable[str]) -> None:
        for request_id in request_ids:
            self._in_flight.pop(request_id, None)

    def sleep(self) -> None:
        """Nothing: its weights stay where they are."""

    def _check(self, request: GenerationRequest) -> None:
        """Refuse a request that no engine can take.

        Raises:
            EngineError: Its id is in flight already, or it has not one picture per placeholder.
        """
        if request.id in self._in_flight:
            raise EngineError(f"request {request.id} is already in flight")
        num_slots = request.prompt_ids.count(self._image_id)
        if num_slots != len(request.views):
            raise EngineError(
                f"request {request.id} has {num_slots} placeholders "
                f"but {len(request.views)} pictures"
            )

    def _published(self, num_bytes: int, *, since: float, version: int) -> None:
        """Stamp new weights, which have been coming `since` a `time.perf_counter`."""
        self.policy_version = version
        self.last_publish = PublishStats(num_bytes, time.perf_counter() - since, version)
