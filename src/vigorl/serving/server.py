"""The endpoint: `/v1/chat/completions`, `/v1/models`, `/health`.

Each connection has a thread, which takes its dialogs' turns one after the other; all of them ask
one `SharedEngine`, whose thread samples what is asked at the same time in one batch.
"""

from __future__ import annotations

import hmac
import json
import logging
import secrets
import shutil
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from tempfile import TemporaryDirectory, mkdtemp
from threading import BoundedSemaphore
from typing import Any

from vigorl.asking.asker import Asker, ask_picture, opened
from vigorl.asking.deciding import Decision, decide
from vigorl.core.errors import ConfigError, DataError, VigorlError
from vigorl.core.records import TaskRecord
from vigorl.rollout.dialog import Dialog
from vigorl.rollout.engines.server_api import DataUrls
from vigorl.rollout.environment import Environment
from vigorl.rollout.seeds import derive_seed
from vigorl.serving.answers import Completion
from vigorl.serving.pictures import save_picture
from vigorl.serving.requests import ChatRequest, RequestRefusedError, read_request

_LOG = logging.getLogger(__name__)
_IDLE_S = 60  # that a client may keep a connection open without a word
_UNASKED_BYTES = 1 << 20  # read of a body without the key, so that its client hears why


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """What a request may not exceed.

    Attributes:
        max_in_flight: Requests that are answered at the same time; more are told to come again.
        max_request_bytes: Of a body, and of a picture that is fetched.
        max_pictures: Of a request.
        max_picture_pixels: Of each picture.
        allow_urls: Whether pictures may be named by http(s) addresses, which this machine then
            fetches, also those that only it can reach.
        api_key: Who has it may ask; None lets everybody.
    """

    max_in_flight: int = 64
    max_request_bytes: int = 100_000_000
    max_pictures: int = 64
    max_picture_pixels: int = 50_000_000
    allow_urls: bool = False
    api_key: str | None = None


class PolicyServer(ThreadingHTTPServer):
    """Answers until `shutdown`; does not own the asker.

    Args:
        address: Host and port; port 0 takes any that is free.
        asker: The policy, by its name.
        crops: Draws what looks showed; its store is nobody else's, for stores know no threads.
        bounds: Of requests.
    Raises:
        OSError: The address cannot be had.
    """

    daemon_threads = True
    request_queue_size = 128  # connections that come at once; the standard library's 5 are fewer

    def __init__(
        self, address: tuple[str, int], asker: Asker, *, crops: DataUrls, bounds: Bounds
    ) -> None:
        self.asker, self.crops, self.bounds = asker, crops, bounds
        self.free = BoundedSemaphore(bounds.max_in_flight)
        self.begun = int(time.time())
        super().__init__(address, _Handler)
        self.pictures = TemporaryDirectory(prefix="vigorl-serve-")

    @property
    def url(self) -> str:
        host, port = self.server_address[:2]
        return f"http://{host!s}:{port}"

    def server_close(self) -> None:
        super().server_close()
        self.pictures.cleanup()

    def handle_error(self, request: Any, client_address: Any) -> None:
        if isinstance(sys.exception(), OSError):  # the client has gone
            _LOG.info("%s has gone", client_address)
        else:
            _LOG.exception("a request of %s has failed", client_address)


class _Handler(BaseHTTPRequestHandler):
    server: PolicyServer  # pyright: ignore[reportIncompatibleVariableOverride]
    protocol_version = "HTTP/1.1"
    server_version = "vigorl"
    timeout = _IDLE_S

    def do_GET(self) -> None:
        asker = self.server.asker
        path = self.path.partition("?")[0]
        model = {
            "id": asker.name, "object": "model", "created": self.server.begun, "owned_by": "vigorl",
            "vigorl": {
                "system": asker.environment.prompt.system, "tools": sorted(asker.environment.tools),
                **({"inference": asker.rule.settings()} if asker.rule else {}),
            },
        }  # fmt: skip
        if path == "/health":
            ended = asker.engine.has_ended
            self._json(503 if ended else 200, {"status": "the engine has ended" if ended else "ok"})
        elif not self._may_ask():
            self._refuse(RequestRefusedError("the API key is missing or wrong", status=401))
        elif path == "/v1/models":
            self._json(200, {"object": "list", "data": [model]})
        elif path == f"/v1/models/{asker.name}":
            self._json(200, model)
        else:
            self._refuse(RequestRefusedError(f"there is no GET {path[:200]}", status=404))

    def do_POST(self) -> None:
        path = self.path.partition("?")[0]
        try:
            if not self._may_ask():
                self.close_connection = True  # at most so much of its body is read, and not kept
                self.rfile.read(min(self._length or 0, _UNASKED_BYTES))
                raise RequestRefusedError("the API key is missing or wrong", status=401)
            body = self._body()
            if path != "/v1/chat/completions":
                raise RequestRefusedError(f"there is no POST {path[:200]}", status=404)
            asker = self.server.asker
            request = read_request(
                _parsed(body), model=asker.name, system=asker.environment.prompt.system
            )
            if not self.server.free.acquire(blocking=False):
                raise RequestRefusedError(
                    "too many requests at the same time: try again", status=429
                )
            try:
                self._answer(request)
            finally:
                self.server.free.release()
        except RequestRefusedError as refused:
            self._refuse(refused)

    def _answer(self, request: ChatRequest) -> None:
        server = self.server
        folder = Path(mkdtemp(dir=server.pictures.name))
        dialogs: list[Dialog] = []
        has_failed = False  # among samples of a rule: the engine may be at others
        try:
            task, decided = self._task(request, folder), list[Decision]()
            if server.asker.rule is None:
                dialogs = self._opened(task, request)
            else:
                decided = self._decided(task, request)
                dialogs = [one.dialog for one in decided]
            answers = Completion(
                dialogs,
                server.asker.environment,
                model=server.asker.name,
                urls=server.crops.url if request.vigorl.crops else None,
                decided=decided,
            )
            if request.stream:
                self._stream(dialogs, answers, request)
                return
            try:
                for _ in server.asker.run(dialogs):
                    pass
            except VigorlError as error:
                raise _failure(error) from error
            self._json(200, answers.whole())
        except RequestRefusedError as refused:
            has_failed = server.asker.decides and refused.status >= 500
            raise
        finally:
            if not has_failed and (len(dialogs) < 2 or all(one.is_done for one in dialogs)):
                shutil.rmtree(folder)  # else one has failed, and the engine may be at another

    def _task(self, request: ChatRequest, folder: Path) -> TaskRecord:
        bounds = self.server.bounds
        if len(request.urls) > bounds.max_pictures:
            raise RequestRefusedError(
                f"{len(request.urls)} pictures, more than max_pictures={bounds.max_pictures}",
                param="messages",
            )
        first, *more = [
            save_picture(
                url,
                folder,
                allow_urls=bounds.allow_urls,
                max_pixels=bounds.max_picture_pixels,
                max_bytes=bounds.max_request_bytes,
            )
            for url in request.urls
        ]
        _refuse_halves(request.question, *request.vigorl.options)
        try:
            return ask_picture(first, request.question, more=more, options=request.vigorl.options)
        except DataError as error:
            raise RequestRefusedError(error.message, param="messages") from error

    def _opened(self, task: TaskRecord, request: ChatRequest) -> list[Dialog]:
        environment, seeds = self._asked(request)
        try:
            return opened(environment, task, seeds)
        except DataError as error:
            raise RequestRefusedError(error.message, param="messages") from error
        except ConfigError as error:
            raise RequestRefusedError(str(error), param="messages") from error

    def _decided(self, task: TaskRecord, request: ChatRequest) -> list[Decision]:
        """By the rule of inference: nothing can be told before it has chosen."""
        asker, (environment, seeds) = self.server.asker, self._asked(request)
        try:
            return [decide(asker, task, seed=seed, environment=environment) for seed in seeds]
        except DataError as error:
            raise RequestRefusedError(error.message, param="messages") from error
        except ConfigError as error:
            raise RequestRefusedError(str(error), param="messages") from error
        except VigorlError as error:
            raise _failure(error) from error

    def _asked(self, request: ChatRequest) -> tuple[Environment, list[int]]:
        """How it is sampled, and the seed of each choice."""
        own, num, rule = self.server.asker.environment, request.n or 1, self.server.asker.rule
        temperature = own.temperature if request.temperature is None else request.temperature
        environment = own.asked_for(
            temperature=temperature,
            top_p=own.top_p if request.top_p is None else request.top_p,
            max_sampled_tokens=request.most_tokens,
        )
        if num > 1 and (rule.sampled(environment) if rule else environment).temperature == 0:
            raise RequestRefusedError(
                f"n={num} at temperature 0 gives the same answer each time: set a temperature",
                param="n",
            )
        seed = secrets.randbits(32) if request.seed is None else request.seed
        return environment, [derive_seed(seed, "served", i) for i in range(num)]

    def _stream(self, dialogs: list[Dialog], answers: Completion, request: ChatRequest) -> None:
        """Server-sent events; the connection ends with them."""
        self.close_connection = True
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream; charset=utf-8")
        self.send_header("Cache-Control", "no-store")
        self.send_header("Connection", "close")
        self.end_headers()
        is_heard = self._events(answers.opening())
        try:
            if self.server.asker.rule is not None:
                is_heard = self._events(answers.replayed())
            for said in self.server.asker.run(dialogs):
                # to its end also where nobody hears: the engine must not miss the pictures
                if is_heard and isinstance(said, Dialog):
                    is_heard = self._events(answers.turn(said))
            ending = []
            if request.stream_options is not None and request.stream_options.include_usage:
                ending = [answers.last()]
        except VigorlError as error:
            ending = [_failure(error).body]
        self._events([*ending, "[DONE]"])

    def _events(self, chunks: Iterable[dict[str, Any] | str]) -> bool:
        """Send them; returns whether the client is still there."""
        try:
            for chunk in chunks:
                said = chunk.encode() if isinstance(chunk, str) else _written(chunk)
                self.wfile.write(b"data: " + said + b"\n\n")
        except OSError:
            return False
        return True

    @property
    def _length(self) -> int | None:
        said = self.headers.get("Content-Length", "")
        return int(said) if said.isascii() and said.isdigit() and len(said) < 20 else None

    def _body(self) -> bytes:
        length = self._length
        if length is None or "Transfer-Encoding" in self.headers:  # which would outdo the length
            self.close_connection = True
            raise RequestRefusedError("the request must say its Content-Length", status=411)
        if length > self.server.bounds.max_request_bytes:
            self.close_connection = True
            raise RequestRefusedError(
                f"the request has {length} bytes, more than "
                f"max_request_bytes={self.server.bounds.max_request_bytes}: send a smaller picture",
                status=413,
            )
        return self.rfile.read(length)

    def _may_ask(self) -> bool:
        key, said = self.server.bounds.api_key, self.headers.get("Authorization", "")
        return key is None or hmac.compare_digest(said.encode(), f"Bearer {key}".encode())

    def _refuse(self, refused: RequestRefusedError) -> None:
        self._json(refused.status, refused.body)

    def _json(self, status: int, content: dict[str, Any]) -> None:
        body = _written(content)
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """What the standard library refuses by itself, in JSON too."""
        self.close_connection = True
        said = message or HTTPStatus(code).phrase
        self._refuse(RequestRefusedError(f"the request cannot be read: {said}", status=code))

    def log_message(self, format: str, *args: Any) -> None:
        _LOG.info("%s %s", self.address_string(), format % args)


def _parsed(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        raise RequestRefusedError(f"the body is no JSON: {error}") from error


def _refuse_halves(*texts: str) -> None:
    try:
        "".join(texts).encode()
    except UnicodeEncodeError as error:
        raise RequestRefusedError(f"half a character: {error}", param="messages") from error


def _failure(error: VigorlError) -> RequestRefusedError:
    said = error.message if isinstance(error, DataError) else error  # no folders of this machine
    return RequestRefusedError(f"the engine failed: {said}", status=500)


def _written(content: dict[str, Any]) -> bytes:
    """As JSON; half a character, which a policy may write into a call, becomes "?"."""
    return json.dumps(content, ensure_ascii=False).encode(errors="replace")
