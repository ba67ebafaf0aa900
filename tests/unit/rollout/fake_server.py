"""A server in this process that speaks the formats of the `server` engine, and fails on demand."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from safetensors.torch import load_file

from tests.fingerprint import weight_fingerprint
from vigorl.data.encoding import ChatCodec

START_LABEL = "default"
Fault = Callable[[str, dict[str, Any]], "tuple[int, str] | str | None"]


class FakeServer:
    """A policy whose completion is a function of the request's seed.

    Args:
        codec: Encodes completions.
        fault: Called with (path, body) before each answer; may block, may return (status, text) to
            answer that instead, or "hang up" to cut the connection.
        folder: A model folder; logprobs then depend on the weights in it, or loaded later.
    Attributes:
        posts: (path, body) of everything posted, in order.
        loaded: Names in the checkpoints that were loaded.
    """

    def __init__(
        self, codec: ChatCodec, fault: Fault | None = None, *, folder: Path | None = None
    ) -> None:
        self.codec, self.fault = codec, fault or (lambda path, body: None)
        self.posts: list[tuple[str, dict[str, Any]]] = []
        self.headers: list[dict[str, str]] = []
        self.loaded: list[set[str]] = []
        self.can_reset = True
        self.folder = folder
        self._port = 0
        self.start()

    def start(self) -> None:
        """As a new process would: with the weights it finds on its disk, on the same port."""
        self.label, self.adapters = START_LABEL, dict[str, float]()
        self.logprob = logprob_of(self.folder) if self.folder else -0.5
        self._http = _Http(("127.0.0.1", self._port), _handler(self))
        self._port = self._http.server_address[1]
        self.url = f"http://127.0.0.1:{self._port}"
        threading.Thread(target=self._http.serve_forever, args=(0.01,), daemon=True).start()

    def kill(self) -> None:
        """As kill -9 would: connections in use are cut, new ones refused."""
        self._http.shutdown()
        self._http.server_close()
        self._http.cut_all()

    def refusal(self, path: str, body: dict[str, Any]) -> tuple[int, str] | None:
        """As vLLM answers a request for a model that it does not have."""
        if path == "/inference/v1/generate" and body.get("model", "base") not in (
            "base", *self.adapters
        ):  # fmt: skip
            return 404, f"the model {body['model']} does not exist"
        return None

    def generated(self) -> list[dict[str, Any]]:
        return [body for path, body in self.posts if path == "/inference/v1/generate"]

    def answer(self, path: str, body: dict[str, Any]) -> Any:
        if path == "/inference/v1/generate":
            return self._generate(body)
        if path == "/v1/chat/completions":
            message = {"content": f"<think> {body['seed']} </think>"}
            return {"choices": [{"message": message, "finish_reason": "stop"}]}
        if path == "/weight_info":
            return {"weight_version": self.label}
        if path == "/update_weight_version":
            self.label = body["new_version"]
        if path == "/collective_rpc":
            folder = Path(body["kwargs"]["weights_path"])
            index = json.loads((folder / "model.safetensors.index.json").read_text())
            self.loaded.append(set(index["weight_map"]))
            self.logprob = logprob_of(folder) if self.folder else -0.5
            assert {p.name for p in folder.glob("*.safetensors")} == set(
                index["weight_map"].values()
            )
        if path == "/v1/load_lora_adapter":
            folder = Path(body["lora_path"])
            self.adapters[body["lora_name"]] = logprob_of(folder)
            self.loaded.append(set(load_file(folder / "adapter_model.safetensors")))
        if path == "/v1/unload_lora_adapter":
            del self.adapters[body["lora_name"]]
        if path == "/v1/models":
            return {"data": [{"id": name} for name in ("base", *self.adapters)]}
        if path == "/reset_prefix_cache":
            return {"success": self.can_reset}
        return {}

    def _generate(self, body: dict[str, Any]) -> Any:
        sampling = body["sampling_params"]
        ids = self.codec.completion_ids(f"<think> {sampling['seed']} </think>")
        ids = ids[: sampling["max_tokens"]]
        logprob = self.adapters.get(body.get("model", ""), self.logprob)
        logprobs = [{"token_id": token, "logprob": logprob, "rank": 1} for token in ids]
        span = {"version": self.label, "start": 0, "end": len(ids)}
        choice = {
            "finish_reason": "stop" if ids[-1] == self.codec.end_id else "length",
            "token_ids": ids,
            "logprobs": {"content": logprobs},
            "weight_versions": [span],
        }
        return {"choices": [choice]}


def chat_reply(content: Any) -> tuple[int, str]:
    """What a `fault` returns for a chat reply of its own."""
    choice = {"message": {"content": content}, "finish_reason": "stop"}
    return 200, json.dumps({"choices": [choice]})


def logprob_of(folder: Path) -> float:
    """A number in -1..0 that another set of weights changes."""
    weights = {name: w for p in folder.glob("*.safetensors") for name, w in load_file(p).items()}
    return -int(weight_fingerprint(weights.items()), 16) / 16**16


class _Http(ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 128  # the library's 5 resets connections that come in a burst

    def __init__(self, *args: Any) -> None:
        self.open: set[Any] = set()
        super().__init__(*args)

    def process_request(self, request: Any, client_address: Any) -> None:
        self.open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self.open.discard(request)
        super().shutdown_request(request)

    def cut_all(self) -> None:
        for request in list(self.open):
            self.shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Cut connections are the point of these tests."""


def _handler(fake: FakeServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._reply({})

        def do_POST(self) -> None:
            raw = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            body = json.loads(raw) if raw else {}
            fake.posts.append((self.path, body))
            fake.headers.append(dict(self.headers))
            self._reply(body)

        def _reply(self, body: dict[str, Any]) -> None:
            found = fake.fault(self.path, body) or fake.refusal(self.path, body)
            if found == "hang up":
                self.close_connection = True
                return
            status, text = (
                found
                if isinstance(found, tuple)
                else (200, json.dumps(fake.answer(self.path, body)))
            )
            self.send_response(status)
            if status == 302:
                self.send_header("Location", text)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, format: str, *args: Any) -> None:
            """Nothing."""

    return Handler
