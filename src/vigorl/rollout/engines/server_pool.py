"""Several servers that do the same: who gets which job, and what happens when one of them fails.

    sticky       jobs with the same key go to the same server (rendezvous hashing), so its prefix
                 cache holds; a server that leaves or returns moves only its own keys
    failure      no connection, a time-out or a 5xx: the server is marked down, and its jobs go to
                 the others after a pause that doubles, with jitter
    recovery     one thread per server that is down asks after its health until it is ready again
    giving up    a job after `max_attempts` failures; every job once all servers have been down for
                 `give_up_s`, or cannot be used however long one waits

A 4xx is nobody's bad luck: the job fails at once with the server's own words.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import queue
import random
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import requests
from requests.auth import AuthBase
from urllib3.exceptions import HTTPError

from vigorl.core.errors import ConfigError, EngineError, VigorlError
from vigorl.rollout.engines.timed_session import TimedSession

MAX_RETRY_AFTER_S = 60.0  # a server may wish for hours, and a thread would sleep through them
RETRIED_STATUS = (408, 425, 429)  # 4xx that ask for patience


class TransientError(Exception):
    """An attempt failed in a way that another attempt, or another server, may not.

    Args:
        message: What happened.
        is_down: The server is to be left alone until it is healthy.
        retry_after_s: The server's own wish; kept up to `MAX_RETRY_AFTER_S`.
    """

    def __init__(
        self, message: str, *, is_down: bool = False, retry_after_s: float | None = None
    ) -> None:
        super().__init__(message)
        self.is_down, self.retry_after_s = is_down, retry_after_s


class NotFoundError(EngineError):
    """The server has no such route, or no such model."""


class _Bearer(AuthBase):
    """The key in the header; as an `AuthBase`, a netrc file cannot replace it."""

    def __init__(self, key: str | None) -> None:
        self._key = key

    def __call__(self, r: requests.PreparedRequest) -> requests.PreparedRequest:
        if self._key:
            r.headers["Authorization"] = f"Bearer {self._key}"
        return r

    def redact(self, text: str) -> str:
        return text.replace(self._key, "***") if self._key else text


class HttpClient:
    """JSON over HTTP, with failures sorted into those to retry and those to report.

    Args:
        api_key_env: Environment variable with the key; None sends none. The key itself is in no
            error, log or repr.
        timeout_s: For an answer, to its last byte; 5 s of it for the connection.
        section: Section of the settings that errors name, such as "engine".
        most_bytes: Of an answer, which is read no further; None reads all of it.
    Raises:
        ConfigError: The variable is not set.
    """

    def __init__(
        self,
        *,
        api_key_env: str | None,
        timeout_s: float,
        section: str = "engine",
        most_bytes: int | None = None,
    ) -> None:
        key = os.environ.get(api_key_env) if api_key_env else None
        if api_key_env and not key:
            raise ConfigError(f"{section}.api_key_env names {api_key_env}, which is not set")
        self._auth, self._timeout_s, self._local = _Bearer(key), timeout_s, threading.local()
        self._most_bytes = most_bytes

    def call(
        self,
        url: str,
        body: Any = None,
        *,
        method: str = "POST",
        timeout_s: float | None = None,
        is_json: bool = True,
    ) -> Any:
        """The decoded answer; None where it is empty, or is to be plain text.

        Raises:
            TransientError: No connection, a time-out, a 5xx or 429, or half an answer.
            NotFoundError: A 404.
            EngineError: Any other answer but success, with its text.
        """
        session = getattr(self._local, "session", None)
        if session is None:  # a session is not for several threads
            session = self._local.session = TimedSession()
        limit = self._timeout_s if timeout_s is None else timeout_s
        session.ends_at = time.monotonic() + limit
        try:
            with session.request(
                method, url, json=body, auth=self._auth, timeout=(min(5.0, limit), limit),
                allow_redirects=False, stream=True,
            ) as reply:  # fmt: skip
                status, content = reply.status_code, self._content(reply)
        except (requests.RequestException, HTTPError) as error:
            reason = self._auth.redact(f"{type(error).__name__}: {error}")
            raise TransientError(reason, is_down=True) from None
        if status < 300:
            try:
                return json.loads(content) if content and is_json else None
            except (ValueError, RecursionError) as error:  # half of it; brackets without end
                raise TransientError(f"{type(error).__name__}: {error}", is_down=True) from None
        text = self._auth.redact(content[:2000].decode("utf-8", "replace"))[:1000]
        if status >= 500 or status in RETRIED_STATUS:
            after = reply.headers.get("Retry-After", "")
            raise TransientError(
                f"status {status}: {text}",
                is_down=status >= 500,
                retry_after_s=float(after) if after.isdigit() else None,
            )
        kind = NotFoundError if status == 404 else EngineError
        raise kind(f"{url} answered {status}: {text}")

    def _content(self, reply: requests.Response) -> bytes:
        parts, size = list[bytes](), 0
        while part := reply.raw.read1(1 << 16, decode_content=True):
            parts.append(part)
            size += len(part)
            if self._most_bytes is not None and size > self._most_bytes:
                raise EngineError(f"{reply.url} answered with more than {self._most_bytes} bytes")
        return b"".join(parts)


@dataclass(slots=True, eq=False)
class _Job:
    run: Callable[[str], Any]
    name: str
    key: str
    result: Future[Any] = field(default_factory=Future)
    num_failures: int = 0

    def fail(self, error: BaseException) -> None:
        with suppress(InvalidStateError):  # cancelled: nobody waits for it
            self.result.set_exception(error)


@dataclass(slots=True, eq=False)
class _Server:
    url: str
    jobs: queue.SimpleQueue[_Job | None] = field(default_factory=queue.SimpleQueue)
    num_threads: int = 0
    is_up: bool = True
    down_since: float = 0.0
    last_error: str = ""


class ServerPool:
    """Runs jobs on servers.

    Args:
        urls: Base URLs, such as http://host:8000.
        revive: Makes sure that the server at a URL is ready for jobs; raises `TransientError` when
            it is not yet, `EngineError` when waiting does not help.
        max_concurrent: Jobs at once on each server.
        max_attempts: Failures after which a job is given up.
        backoff_s: Pause after a job's first failure, and before a failed server is first asked
            again; both double.
        max_backoff_s: Longest of these pauses.
        give_up_s: How long all servers may be down.
        section: Section of the settings that errors name, such as "engine".
    Raises:
        ConfigError: No URL, one given twice, one that is not http(s), or one with a password in it.
    """

    def __init__(
        self,
        urls: Sequence[str],
        *,
        revive: Callable[[str], None],
        max_concurrent: int = 64,
        max_attempts: int = 8,
        backoff_s: float = 0.5,
        max_backoff_s: float = 30.0,
        give_up_s: float = 600.0,
        section: str = "engine",
    ) -> None:
        if isinstance(urls, str):
            raise ConfigError(f"{section}.urls is a list: '{section}.urls=[{urls}]'")
        bases = [url.rstrip("/") for url in urls]
        for base in bases:
            parts = urlsplit(base)
            if parts.scheme not in ("http", "https") or not parts.hostname:
                raise ConfigError(f"{section}.urls: {base!r} is not like http://host:8000")
            if parts.username or parts.password:
                raise ConfigError(f"{section}.urls: put no password into a URL, use api_key_env")
        if not bases or len(set(bases)) != len(bases):
            raise ConfigError(f"{section}.urls must be one or more different servers, got {bases}")
        if max_concurrent < 1 or max_attempts < 1:
            raise ConfigError(
                f"{section}.max_concurrent and {section}.max_attempts must be at least 1"
            )
        self._servers = [_Server(base) for base in bases]
        self._revive, self._max_concurrent, self._max_attempts = (
            revive, max_concurrent, max_attempts,
        )  # fmt: skip
        self._backoff_s, self._max_backoff_s = backoff_s, max_backoff_s
        self._give_up_s, self._changed = give_up_s, threading.Condition()
        self._section, self._is_closed = section, False

    @property
    def urls(self) -> list[str]:
        """Base URLs of all servers."""
        return [server.url for server in self._servers]

    @property
    def up_urls(self) -> list[str]:
        """Base URLs of the servers that are not known to be down."""
        return [server.url for server in self._servers if server.is_up]

    def submit(self, run: Callable[[str], Any], *, name: str, key: str) -> Future[Any]:
        """Start a job.

        Args:
            run: Does it on the server at a base URL; may raise `TransientError`.
            name: For errors.
            key: Jobs with the same key go to the same server.
        Returns:
            What `run` returns, or what ended the job; one that is cancelled is dropped when its
            turn comes.
        """
        job, ranked = _Job(run, name, key), self._ranked(key)
        self._put(job, next((server for server in ranked if server.is_up), ranked[0]))
        return job.result

    def mark_down(self, url: str, reason: str) -> None:
        """Send a server no more jobs until `revive` has found it ready."""
        server = next(server for server in self._servers if server.url == url)
        with self._changed:
            server.last_error = reason
            if not server.is_up or self._is_closed:
                return
            server.is_up, server.down_since = False, time.monotonic()
        threading.Thread(target=self._revive_when_ready, args=(server,), daemon=True).start()

    def close(self) -> None:
        """Let the threads go; jobs that wait are dropped."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()
            for server in self._servers:
                for _ in range(server.num_threads):
                    server.jobs.put(None)

    def _ranked(self, key: str) -> list[_Server]:
        def weight(server: _Server) -> bytes:
            return hashlib.blake2b(f"{server.url} {key}".encode(), digest_size=8).digest()

        return sorted(self._servers, key=weight)

    def _put(self, job: _Job, server: _Server) -> None:
        with self._changed:
            if server.num_threads < self._max_concurrent and not self._is_closed:
                server.num_threads += 1
                # daemons: a hanging server must not keep the process from ending
                threading.Thread(target=self._work, args=(server,), daemon=True).start()
        server.jobs.put(job)

    def _work(self, server: _Server) -> None:
        while True:
            job = server.jobs.get()
            if job is None or self._is_closed:
                return
            if not job.result.cancelled():
                self._attempt(job, server)

    def _attempt(self, job: _Job, server: _Server) -> None:
        try:
            if not server.is_up:
                self._move(job)
                return
            found = job.run(server.url)
            with suppress(InvalidStateError):
                job.result.set_result(found)
        except TransientError as error:
            self._failed(job, server, error)
        except VigorlError as error:
            job.fail(error)
        except BaseException as error:
            job.fail(error)  # a job must end, or its engine waits for ever
            raise

    def _failed(self, job: _Job, server: _Server, error: TransientError) -> None:
        if error.is_down:
            self.mark_down(server.url, str(error))
        job.num_failures += 1
        if job.num_failures >= self._max_attempts:
            times = f"{job.num_failures} times, last on {server.url}"
            job.fail(EngineError(f"{job.name} failed {times}: {error}"))
            return
        wished = min(error.retry_after_s or 0.0, MAX_RETRY_AFTER_S)
        self._pause(max(self._backoff(job.num_failures), wished))
        try:
            self._move(job)
        except EngineError as given_up:
            job.fail(given_up)

    def _move(self, job: _Job) -> None:
        """Give the job to a server that is up, as soon as there is one."""
        with self._changed:
            while not self._is_closed and not job.result.cancelled():
                up = next((server for server in self._ranked(job.key) if server.is_up), None)
                if up is not None:
                    break
                waited = time.monotonic() - max(server.down_since for server in self._servers)
                if waited >= self._give_up_s:
                    raise EngineError(self._all_down())
                self._changed.wait(self._give_up_s - waited)
            else:
                return
        self._put(job, up)

    def _revive_when_ready(self, server: _Server) -> None:
        """Ask after a server that is down until it is ready."""
        attempts = 0
        while not self._is_closed:
            attempts += 1
            self._pause(self._backoff(attempts))
            try:
                self._revive(server.url)
                is_ready, since = True, server.down_since
            except TransientError as error:
                is_ready, since, server.last_error = False, server.down_since, str(error)
            except EngineError as error:
                is_ready, since, server.last_error = False, -math.inf, str(error)
            with self._changed:
                server.is_up, server.down_since = is_ready, since
                self._changed.notify_all()
            if is_ready:
                return

    def _backoff(self, attempts: int) -> float:
        longest = min(self._backoff_s * 2 ** min(attempts - 1, 30), self._max_backoff_s)
        return longest * random.uniform(0.5, 1.0)

    def _pause(self, seconds: float) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._is_closed, timeout=seconds)

    def _all_down(self) -> str:
        """The error of a job that no server is left for, with each server's last words."""
        lines = [f"{server.url} ({server.last_error})" for server in self._servers]
        setting = f"{self._section}.give_up_s={self._give_up_s:g}"
        return f"all servers are down ({setting}): " + "; ".join(lines)
