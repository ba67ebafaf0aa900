"""A session whose answers end by a moment, headers included. By itself `requests` begins its
time-out anew with every byte that comes, and one that drips has no end.
"""

from __future__ import annotations

import io
import math
import socket
import time
from collections.abc import Callable
from functools import partial
from http.client import HTTPResponse
from typing import Any

import requests
from requests.adapters import HTTPAdapter


class TimedSession(requests.Session):
    """For one thread.

    Attributes:
        ends_at: Until when a request may be answered, seconds of `time.monotonic`; whoever makes it
            says so before. Later reads raise `requests.Timeout`.
    """

    def __init__(self) -> None:
        super().__init__()
        self.ends_at = math.inf
        for scheme in ("http://", "https://"):
            self.mount(scheme, _TimedAdapter(lambda: self.ends_at))


class _TimedAdapter(HTTPAdapter):
    def __init__(self, ends_at: Callable[[], float]) -> None:
        super().__init__()
        self._ends_at = ends_at

    def get_connection_with_tls_context(self, *args: Any, **kwargs: Any) -> Any:
        pool: Any = super().get_connection_with_tls_context(*args, **kwargs)
        if "response_class" not in vars(pool.ConnectionCls):
            made = {"response_class": partial(_TimedResponse, ends_at=self._ends_at)}
            pool.ConnectionCls = type("TimedConnection", (pool.ConnectionCls,), made)
        return pool


class _TimedResponse(HTTPResponse):
    def __init__(self, sock: socket.socket, *args: Any, ends_at: Callable[[], float], **kw: Any):
        super().__init__(sock, *args, **kw)
        self.fp.close()
        self.fp = io.BufferedReader(_TimedBytes(sock, ends_at))


class _TimedBytes(io.RawIOBase):
    """What a socket receives; each read has what is left of the time."""

    def __init__(self, sock: socket.socket, ends_at: Callable[[], float]) -> None:
        self._socket, self._ends_at = sock, ends_at
        self._bytes = sock.makefile("rb", buffering=0)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        left_s = self._ends_at() - time.monotonic()
        if left_s <= 0:
            raise TimeoutError("no end of the answer in time")
        self._socket.settimeout(left_s)
        return self._bytes.readinto(buffer)

    def close(self) -> None:
        self._bytes.close()
        super().close()
