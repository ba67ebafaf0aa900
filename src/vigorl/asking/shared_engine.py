"""One engine for callers in several threads."""

from __future__ import annotations

from dataclasses import dataclass
from queue import SimpleQueue
from threading import Lock, Thread

from vigorl.core.errors import DataError, EngineError, RequestError, VigorlError
from vigorl.core.protocols import Completion, Engine, GenerationRequest, StreamingEngine


@dataclass(frozen=True, slots=True)
class Sampled:
    """A token of a turn that is being written."""

    request_id: str
    token_id: int


@dataclass(frozen=True, slots=True)
class Failed:
    """Why a turn will not come."""

    request_id: str
    error: VigorlError


Reply = Sampled | Completion | Failed
_Asked = tuple[GenerationRequest, SimpleQueue[Reply]]


class SharedEngine:
    """Works in a thread of its own; what is asked at the same time shares its batches.

    Args:
        engine: Nobody else's from now on.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._inbox: SimpleQueue[_Asked | None] = SimpleQueue()
        self._waiting: dict[str, _Asked] = {}  # by request id
        self._is_open = True
        self._has_ended, self._ending = False, Lock()
        if isinstance(engine, StreamingEngine):
            engine.on_token = self._tell
        self._thread = Thread(target=self._work, name="engine", daemon=True)
        self._thread.start()

    @property
    def has_ended(self) -> bool:
        """Whether nothing more can be asked: it was closed, or a fault of the program ended it."""
        return self._has_ended

    @property
    def policy_version(self) -> int:
        return self._engine.policy_version

    def submit(self, request: GenerationRequest, replies: SimpleQueue[Reply]) -> None:
        """Ask for a turn; its tokens, where the engine streams, and then its completion or why
        there is none are put into `replies`.

        Raises:
            EngineError: The engine has ended.
        """
        with self._ending:
            if self._has_ended:
                raise EngineError("the engine has ended; start again")
            self._inbox.put((request, replies))

    def close(self) -> None:
        """End after what is being generated."""
        self._inbox.put(None)
        self._thread.join()

    def _tell(self, request_id: str, token_id: int) -> None:
        self._waiting[request_id][1].put(Sampled(request_id, token_id))

    def _work(self) -> None:
        error = EngineError("the engine ended in the middle of a turn; its log says why")
        try:
            while self._is_open:
                self._admit()
                self._generate()
        finally:  # an error of the program; whoever waits must not wait for ever
            with self._ending:
                self._has_ended = True
            while not self._inbox.empty():
                if (item := self._inbox.get()) is not None:
                    self._waiting[item[0].id] = item
            self._fail(list(self._waiting), error)

    def _admit(self) -> None:
        """Take what was asked; waits where nothing is to be done."""
        while not self._waiting or not self._inbox.empty():
            item = self._inbox.get()
            if item is None:  # the end
                self._is_open = False
                return
            self._waiting[item[0].id] = item
            self._submit(item[0])

    def _submit(self, request: GenerationRequest) -> None:
        try:
            self._engine.submit(request)
        except VigorlError as error:
            self._fail([request.id], error)

    def _generate(self) -> None:
        if not self._waiting:
            return
        try:
            completions = self._engine.poll()
        except RequestError as error:
            self._fail([error.request_id], error)
            return
        except VigorlError as error:
            self._engine.cancel(list(self._waiting))
            asked = [request for request, _ in self._waiting.values()]
            failed = [one.id for one in asked if _is_about(error, one)] or list(self._waiting)
            self._fail(failed, error)
            for request in asked:
                if request.id in self._waiting:
                    self._submit(request)
            return
        for completion in completions:
            self._waiting.pop(completion.request_id)[1].put(completion)

    def _fail(self, request_ids: list[str], error: VigorlError) -> None:
        for request_id in request_ids:
            self._waiting.pop(request_id)[1].put(Failed(request_id, error))


def _is_about(error: VigorlError, request: GenerationRequest) -> bool:
    """Whether it is one of the request's pictures that cannot be read."""
    return isinstance(error, DataError) and str(error.path) in {one.path for one in request.views}
