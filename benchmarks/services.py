"""What a slow service costs: dialogs whose `detect` takes 0.1 to 1 s a call, asked ahead or not.

python benchmarks/services.py [dialogs]

One run, one process: the same dialogs with calls in flight together, and one after the other. The
engine is scripted and takes no time, so that the wait is all that is measured.
"""

from __future__ import annotations

import json
import random
import sys
import threading
import time
from concurrent.futures import Future
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from PIL import Image

from vigorl.core.protocols import GenerationRequest
from vigorl.core.records import TaskRecord
from vigorl.core.trace import ToolCall, render_answer_turn, render_tool_turn
from vigorl.data.encoding import ChatCodec
from vigorl.data.images import ImageStore
from vigorl.data.prompts import Prompt
from vigorl.resolvers import shipped
from vigorl.rollout.collector import collect
from vigorl.rollout.engines.scripted import ScriptedEngine, turn_number
from vigorl.rollout.environment import Environment
from vigorl.rollout.limits import RolloutLimits
from vigorl.rollout.tools.detect import Detect

CALLS = 2  # of a dialog


class Slow(BaseHTTPRequestHandler):
    """Finds nothing, in 0.1 to 1 s, the same for the same words."""

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        time.sleep(random.Random(asked["text"]).uniform(0.1, 1.0))
        content = b'{"boxes": []}'
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:
        pass


class Serial(Detect):
    """The same, asked only when its turn has come."""

    def ask_ahead(self, arguments: Any, *, scene: Any) -> Future[Any] | None:  # type: ignore[override]
        return None


def script(request: GenerationRequest) -> str:
    number, group = turn_number(request), request.id.split("/")[0]
    if number > CALLS:
        return render_answer_turn("It is not there.", "no")
    return render_tool_turn("Where?", ToolCall("detect", {"text": f"thing {group} {number}"}))


def seconds(tool: Any, picture: str, num_dialogs: int) -> float:
    model = shipped("tiny_start")
    codec = ChatCodec.from_pretrained(model)
    environment = Environment(
        prompt=Prompt("Look, then answer."),
        codec=codec,
        images=ImageStore.from_pretrained(model),
        tools=[tool],
        limits=RolloutLimits(
            max_turns=CALLS + 1, max_images=4, max_new_tokens=300, max_response_tokens=4000
        ),
    )
    task = TaskRecord("a", "Is it there?", "no", (picture,))
    dialogs = [environment.start(task, group=f"d{n}", index=0, seed=n) for n in range(num_dialogs)]
    return collect(ScriptedEngine(script, codec), dialogs, phase="slow").wall_s


def main() -> None:
    num_dialogs = int(sys.argv[1]) if len(sys.argv) > 1 else 32
    server = ThreadingHTTPServer(("127.0.0.1", 0), Slow)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    urls = [f"http://127.0.0.1:{server.server_address[1]}"]
    with TemporaryDirectory() as folder:
        picture = str(Path(folder, "a.png"))
        Image.new("RGB", (448, 448), "white").save(picture)
        together = seconds(Detect(urls=urls, max_concurrent=num_dialogs), picture, num_dialogs)
        serial = seconds(Serial(urls=urls), picture, num_dialogs)
    waits = [
        [random.Random(f"thing d{n} {call}").uniform(0.1, 1.0) for call in range(1, CALLS + 1)]
        for n in range(num_dialogs)
    ]
    longest = max(map(sum, waits))
    print(f"{num_dialogs} dialogs of {CALLS} calls; the longest one waits {longest:.1f} s")
    print(f"together {together:.1f} s, one after the other {serial:.1f} s")
    print(f"ratio {serial / together:.1f}")


if __name__ == "__main__":
    main()
