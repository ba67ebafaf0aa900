"""What tools share that ask somebody else over HTTP: each question once, many at the same time, and
a run that goes on where nobody answers.

A question that was answered is never asked again: answers are kept by what was asked, pixels
included, in memory (the latest) and as files of `cache`, so that replays, branches of a search and
further epochs are the same without the service. Where a service is away, the policy is told so (a
`ToolError`, which is counted), the console once, and nobody asks for `rest_s`.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import logging
import math
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from threading import Lock
from typing import Annotated, Any, TypeVar

from cachetools import LRUCache, TTLCache
from PIL import Image

from vigorl.core.errors import EngineError
from vigorl.core.files import written_whole
from vigorl.core.protocols import ToolError
from vigorl.core.ranges import AtLeastOne, NotNegative, Positive, Range, check_ranges
from vigorl.data.pictures import _BROKEN
from vigorl.rollout.engines.server_pool import HttpClient, ServerPool, TransientError

_LOG = logging.getLogger(__name__)
_KEPT_BYTES = 256 * 2**20  # of answers in memory, as JSON
_MOST_BYTES = 64 * 2**20  # of an answer
_MOST_PIXELS = 100_000_000  # of a picture in one: a few bytes may hold billions
_NOT_READ = (
    ToolError, ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError,
)  # fmt: skip
T = TypeVar("T")
AWAY = "The service of this tool does not answer now."
REFUSED = "The service of this tool refused the call."
UNREADABLE = "The service of this tool gave no answer that can be read."


class _RefusedError(EngineError):
    """A 4xx: it is this question, not the service."""


class _RestingError(EngineError):
    """Nobody asks: the service was away a moment ago."""


Post = Callable[..., Any]  # (path, body) -> what was answered; without a body it gets


@dataclass(frozen=True, slots=True)
class Question:
    """What a service is asked.

    Attributes:
        digest: Of all that the answer depends on (`digest_of`).
        ask: Asks it, in another thread, by one request or several.
    """

    digest: str
    ask: Callable[[Post], Any]


def digest_of(*parts: object, pictures: Sequence[Image.Image] = ()) -> str:
    """The name of a question: of plain values and the pixels that it is about."""
    digest = hashlib.sha256(json.dumps(parts, sort_keys=True).encode())
    for picture in pictures:
        digest.update(f"|{picture.mode} {picture.width}x{picture.height}|".encode())
        digest.update(picture.tobytes())
    return digest.hexdigest()[:32]


def picture_of(url: Any) -> Image.Image:
    """The picture of a data URL, or of its base64 alone, RGB or grey.

    Raises:
        ToolError: It is none.
    """
    try:
        content = base64.b64decode(url.rpartition(",")[2], validate=True)
        picture = Image.open(io.BytesIO(content), formats=("PNG", "JPEG", "WEBP"))
        if picture.width * picture.height > _MOST_PIXELS:
            raise ToolError(UNREADABLE)
        return picture.convert("L" if picture.mode in ("1", "L") else "RGB")
    except (
        AttributeError, *_BROKEN, Image.DecompressionBombError, Image.DecompressionBombWarning,
    ) as error:  # fmt: skip
        raise ToolError(UNREADABLE) from error


@dataclass(slots=True, eq=False)
class _Asked:
    answer: Future[Any]
    num_before: int  # answers that had come when it was asked
    num_bytes: int = 1  # of the answer, once it is there
    num_ahead: int = 0  # who asked ahead and has not come for the answer yet


class Service:
    """Servers of the same thing, asked by one tool.

    Args:
        urls: Base URLs.
        section: Of the settings, for errors.
        api_key_env: Environment variable with the key; None sends none.
        timeout_s: For one answer.
        max_concurrent: Questions at once on each server.
        max_attempts: Of one question.
        backoff_s: Pause after the first failure; doubles.
        rest_s: How long nobody asks after the service was found away.
        cache: Folder in which the section's folder of answers lies; "" keeps them in memory alone.
    Raises:
        ConfigError: As `ServerPool` and `HttpClient`.
    """

    def __init__(
        self,
        urls: Sequence[str],
        *,
        section: str,
        api_key_env: str | None,
        timeout_s: float,
        max_concurrent: int,
        max_attempts: int,
        backoff_s: float,
        rest_s: float,
        cache: str,
    ) -> None:
        self._http = HttpClient(
            api_key_env=api_key_env, timeout_s=timeout_s, section=section, most_bytes=_MOST_BYTES
        )
        # No health is asked after: attempts are the limit.
        self._pool = ServerPool(
            urls, revive=lambda url: None, max_concurrent=max_concurrent,
            max_attempts=max_attempts, backoff_s=backoff_s, section=section,
        )  # fmt: skip
        self._section, self._rest_s = section, rest_s
        self._cache = Path(cache, section) if cache else None  # others may ask other servers
        self._asked: LRUCache[str, _Asked] = LRUCache(_KEPT_BYTES, lambda one: one.num_bytes)
        # Bad answers, each as often as somebody who asked ahead has not come for it yet.
        self._owed: TTLCache[str, list[_Asked]] = TTLCache(math.inf, rest_s)
        self._lock = Lock()
        self._away_until, self._num_answers, self._num_unanswered = 0.0, 0, 0
        self._has_told_refusal = False

    def ask(self, question: Question) -> Future[Any]:
        """The answer, once it is there; asked already, it is not asked again."""
        return self._ask(question, ahead=True).answer

    def answer(self, question: Question, read: Callable[[Any], T]) -> T:
        """Wait for the answer, and read it.

        Args:
            question: What is asked.
            read: What the answer says; may raise whatever an odd one leads to.
        Raises:
            ToolError: None came, the service refused, or the answer cannot be read. As many as had
                asked ahead by then are told the same, within `rest_s`; who asks ahead later asks
                it anew.
        """
        asked = self._ask(question, ahead=False)
        try:
            answer = asked.answer.result()
        except EngineError as error:
            self._drop(question, asked)
            if isinstance(error, _RefusedError):
                raise ToolError(REFUSED) from error
            self._tell_away(error, asked.num_before)
            raise ToolError(AWAY) from error
        try:
            return read(answer)
        except _NOT_READ as error:
            if self._drop(question, asked) and self._cache is not None:
                with suppress(OSError):
                    (self._cache / f"{question.digest}.json").unlink(missing_ok=True)
            raise ToolError(UNREADABLE) from error

    def send(self, ask: Callable[[Post], Any], *, key: str) -> None:
        """Ask something whose answer nobody needs, once at most."""
        self._pool.submit(lambda url: ask(partial(self._post, url)), name=self._section, key=key)

    def _ask(self, question: Question, *, ahead: bool) -> _Asked:
        with self._lock:
            if not ahead and (owed := self._owed.get(question.digest)):
                return owed.pop()
            asked = self._asked.get(question.digest)
            if asked is None:
                asked = self._asked[question.digest] = self._begun(question)
            asked.num_ahead = max(asked.num_ahead + (1 if ahead else -1), 0)
        return asked

    def _drop(self, question: Question, asked: _Asked) -> bool:
        """Ask anew from now on, as the answer is bad; whether nobody had noticed before."""
        with self._lock:
            if self._asked.get(question.digest) is not asked:
                return False
            del self._asked[question.digest]
            self._owed[question.digest] = [asked] * asked.num_ahead
        return True

    def _begun(self, question: Question) -> _Asked:
        answer: Future[Any] = Future()
        if (kept := self._kept(question.digest)) is not None:
            answer.set_result(kept[0])
            return _Asked(answer, self._num_answers, num_bytes=kept[1])
        if time.monotonic() < self._away_until:
            answer.set_exception(_RestingError(AWAY))
        else:
            answer = self._pool.submit(
                partial(self._fetched, question),
                name=f"a question of {self._section}",
                key=question.digest,
            )
        return _Asked(answer, self._num_answers)

    def _fetched(self, question: Question, url: str) -> Any:
        try:
            answer = question.ask(partial(self._post, url))
        except TransientError:
            raise
        except EngineError as error:
            self._tell_refusal(error)
            raise _RefusedError(str(error)) from error
        self._tell_back()
        with suppress(OSError, RecursionError):  # a full disk costs no answer
            self._keep(question.digest, json.dumps(answer))
        return answer

    def _keep(self, digest: str, text: str) -> None:
        with self._lock:
            if asked := self._asked.get(digest):
                asked.num_bytes = min(len(text), _KEPT_BYTES)
                self._asked[digest] = asked  # weighed anew
        if self._cache is not None:
            self._cache.mkdir(parents=True, exist_ok=True)
            with written_whole(self._cache / f"{digest}.json") as part:
                part.write_text(text, encoding="utf-8")

    def _post(self, url: str, path: str, body: Any = None) -> Any:
        return self._http.call(url + path, body, method="GET" if body is None else "POST")

    def _kept(self, digest: str) -> tuple[Any, int] | None:
        if self._cache is None:
            return None
        try:
            text = (self._cache / f"{digest}.json").read_text(encoding="utf-8")
            return json.loads(text), min(len(text), _KEPT_BYTES)
        except (OSError, ValueError, RecursionError):  # not there, or damaged: it is asked again
            return None

    def _tell_away(self, error: EngineError, num_before: int) -> None:
        with self._lock:
            self._num_unanswered += 1
            if isinstance(error, _RestingError) or self._num_answers > num_before:
                return  # others were answered meanwhile: it was this question's own
            was_away, self._away_until = self._away_until > 0, time.monotonic() + self._rest_s
        if not was_away:
            _LOG.warning(
                "%s: the service is away; the policy is told so, which counts as a tool error, and "
                "it is asked again every %g s: %s", self._section, self._rest_s, error,
            )  # fmt: skip

    def _tell_back(self) -> None:
        with self._lock:
            was_away, self._away_until = self._away_until > 0, 0.0
            num, self._num_unanswered = self._num_unanswered, 0
            self._num_answers += 1
        if was_away:
            _LOG.warning("%s: the service is back; %d calls had no answer", self._section, num)

    def _tell_refusal(self, error: EngineError) -> None:
        with self._lock:
            has_told, self._has_told_refusal = self._has_told_refusal, True
        if not has_told:
            _LOG.warning(
                "%s: the service refuses calls, which count as tool errors: %s",
                self._section, error,
            )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class AsksService:
    """The settings of a tool that asks a service.

    Attributes:
        urls: Base URLs of servers of the same thing, such as http://host:8010.
        name: What the policy calls it.
        api_key_env: The environment variable that holds the API key; None sends none.
        timeout_s: For one answer.
        max_concurrent: Questions at once on each server.
        max_attempts: Of one question.
        backoff_s: Pause after its first failure; doubles.
        rest_s: How long nobody asks after the service was found away.
        cache: Folder in which answers are kept; "" keeps them in memory alone.
    """

    urls: Sequence[str]
    name: str
    api_key_env: str | None = None
    timeout_s: Annotated[float, Range(gt=0, le=3600)] = 30.0
    max_concurrent: AtLeastOne = 16
    max_attempts: AtLeastOne = 3
    backoff_s: Positive = 0.5
    rest_s: NotNegative = 30.0
    cache: str = ""

    def __post_init__(self) -> None:
        check_ranges(self, f"tools.{self.name}")
        _ = self.service  # says at once what is wrong with it

    @cached_property
    def service(self) -> Service:
        return Service(
            self.urls,
            section=f"tools.{self.name}",
            api_key_env=self.api_key_env,
            timeout_s=self.timeout_s,
            max_concurrent=self.max_concurrent,
            max_attempts=self.max_attempts,
            backoff_s=self.backoff_s,
            rest_s=self.rest_s,
            cache=self.cache,
        )
