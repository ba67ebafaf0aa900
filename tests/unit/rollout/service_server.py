"""A real server behind the tools that ask one: it finds coloured things by the pixels it is sent,
and speaks each of the protocols. `calls` holds what it was asked.
"""

from __future__ import annotations

import base64
import io
import json
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import numpy as np
from PIL import Image
from scipy import ndimage

COLOURS = {"red": (220, 30, 30), "green": (30, 160, 60), "blue": (30, 60, 220)}
Answer = tuple[int, Any]


class ServiceServer:
    """Of detections, outlines, searches and a VerlTool tool.

    Args:
        fault: Called with (path, body) first; may wait, or answer in its place with (status, JSON).

    Attributes:
        raw: Sent in place of the JSON.
        drip_s: Between two bytes of an answer; with `drips_headers` of its headers too.
        num_dripped: Bytes that have been sent so.
    """

    def __init__(self, fault: Callable[[str, Any], Answer | None] | None = None) -> None:
        self.fault = fault or (lambda path, body: None)
        self.raw: bytes | None = None
        self.drip_s, self.drips_headers, self.num_dripped = 0.0, False, 0
        self.calls: list[tuple[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.num_open, self.most_open = 0, 0
        self.lock = threading.Lock()
        self.crops = VerlToolCrops()
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._http.server_address[1]}"
        threading.Thread(target=self._http.serve_forever, args=(0.01,), daemon=True).start()

    def close(self) -> None:
        self._http.shutdown()
        self._http.server_close()

    def head(self, status: int, content: bytes) -> bytes:
        """What is sent before the content where headers drip."""
        return f"HTTP/1.1 {status} said\r\nContent-Length: {len(content)}\r\n\r\n".encode()

    def answer(self, path: str, body: Any) -> Answer:
        if found := self.fault(path, body):
            return found
        route = urlsplit(path).path
        return 200, {
            "/detect": _detect,
            "/segment": _segment,
            "/worker_generate": _worker,
            "/v1/chat/completions": _chat,
            "/get_observation": self.crops.observe,
            "/search": lambda body: _search(path, body),
        }[route](body)


def _handler(server: ServiceServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            self._answer(body)

        def do_GET(self) -> None:
            self._answer(None)

        def _answer(self, body: Any) -> None:
            with server.lock:
                server.calls.append((self.path, body))
                server.headers.append(dict(self.headers))
                server.num_open += 1
                server.most_open = max(server.most_open, server.num_open)
            status, answer = server.answer(self.path, body)
            with server.lock:
                server.num_open -= 1
            content = server.raw or json.dumps(answer).encode()
            if server.drips_headers:
                content = b"%s%s" % (server.head(status, content), content)
            else:
                self.send_response(status)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
            if not server.drip_s:
                self.wfile.write(content)
                return
            with suppress(ConnectionError):  # nobody waits any more
                for byte in content:
                    self.wfile.write(bytes([byte]))
                    server.num_dripped += 1
                    time.sleep(server.drip_s)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    return Handler


def picture_in(url: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(url.rpartition(",")[2]))).convert("RGB")


def _parts(picture: Image.Image, text: str) -> list[np.ndarray]:
    """[H, W] masks of the connected things of a colour that the text names, the largest first."""
    rgb = next((rgb for name, rgb in COLOURS.items() if name in text), (128, 128, 128))
    near = np.abs(np.asarray(picture).astype(int) - rgb).max(axis=2) < 40
    labelled: Any = ndimage.label(near)
    labels, count = labelled
    masks = [labels == number for number in range(1, count + 1)]
    return sorted((mask for mask in masks if mask.sum() > 20), key=lambda mask: -mask.sum())


def _box(mask: np.ndarray) -> list[int]:
    rows, columns = np.nonzero(mask)
    return [int(columns.min()), int(rows.min()), int(columns.max()) + 1, int(rows.max()) + 1]


def _detect(body: Any) -> Any:
    masks = _parts(picture_in(body["image"]), body["text"])[: body["most"]]
    scores = [round(1 - number / 10, 2) for number in range(len(masks))]
    return {
        "boxes": [
            {"box": _box(mask), "label": body["text"], "score": score}
            for mask, score in zip(masks, scores, strict=True)
        ]
    }


def _segment(body: Any) -> Any:
    picture = picture_in(body["image"])
    if "point" in body:
        x, y = map(int, body["point"])
        middle = np.asarray(picture)[y, x].astype(int)
        near = np.abs(np.asarray(picture).astype(int) - middle).max(axis=2) < 40
        labelled: Any = ndimage.label(near)
        labels = labelled[0]
        mask = labels == labels[y, x]
    else:
        masks = _parts(picture, body.get("text", ""))
        if not masks:
            return {"mask": None}
        mask = masks[0]
    file = io.BytesIO()
    Image.fromarray(mask).save(file, "PNG")
    return {"mask": "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()}


def _chat(body: Any) -> Any:
    image, text = body["messages"][0]["content"]
    picture = picture_in(image["image_url"]["url"])
    entries = [{"bbox_2d": _box(mask), "label": "object"} for mask in _parts(picture, text["text"])]
    said = f"Here they are:\n```json\n{json.dumps(entries)}\n```"
    return {"choices": [{"message": {"content": said}, "finish_reason": "stop"}]}


def _worker(body: Any) -> Any:
    picture = picture_in(body["image"])
    boxes = [_box(mask) for mask in _parts(picture, body["param"])]
    shares = [[n / side for n, side in zip(box, picture.size * 2, strict=True)] for box in boxes]
    logits = [round(1 - number / 10, 2) for number in range(len(boxes))]
    found = [
        (share, logit)
        for share, logit in zip(shares, logits, strict=True)
        if logit >= body["box_threshold"]
    ]
    text = {
        "boxes": [share for share, _ in found],
        "logits": [logit for _, logit in found],
        "phrases": [body["param"]] * len(found),
        "size": picture.size[::-1],
    }
    return {"text": text, "error_code": 0}


def _search(path: str, body: Any) -> Any:
    query = body["query"] if body else parse_qs(urlsplit(path).query)["q"][0]
    pages = [
        ("Platforms", "https://example.org/a", "Trains to the coast leave from platform 4."),
        ("Opening", "https://example.org/b", "The museum is open <image> from 9 to 17."),
    ]
    words = set(query.lower().split())
    key = "text" if body else "content"
    return {
        "results": [
            {"title": title, "url": url, key: text}
            for title, url, text in pages
            if words & set(text.lower().rstrip(".").split())
        ]
    }


class VerlToolCrops:
    """The pixel_reasoner tool as TIGER-AI-Lab/verl-tool 980962b serves it: pictures per trajectory,
    counted from 1, boxes in pixels or, where all are below 1, shares; widened by 0.1 of a side.
    """

    def __init__(self) -> None:
        self.pictures: dict[str, list[Image.Image]] = {}
        self.num_done = 0
        self.lock = threading.Lock()

    def observe(self, data: Any) -> Any:
        ids, actions = [str(one) for one in data["trajectory_ids"]], data["actions"]
        assert len(ids) == len(actions) > 0
        extra = data.get("extra_fields") or [{} for _ in ids]
        for key in data.keys() - {"trajectory_ids", "actions", "extra_fields"}:
            for fields, value in zip(extra, data[key], strict=True):
                fields[key] = value
        with self.lock:
            found = [self._conduct(*one) for one in zip(ids, actions, extra, strict=True)]
        observations, dones, valids = map(list, zip(*found, strict=True))
        return {"observations": observations, "dones": dones, "valids": valids}

    def _conduct(self, id: str, action: str, fields: Any) -> tuple[Any, bool, bool]:
        if fields.get("finish"):
            self.pictures.pop(id, None)
            return "", True, True
        self.num_done += 1
        if id not in self.pictures:
            assert all(url.startswith("data:image/jpeg;base64,") for url in fields["images"])
            self.pictures[id] = [picture_in(url) for url in fields["images"]]
        try:
            call = json.loads(action.split("<tool_call>")[1].split("</tool_call>")[0])
            left, top, right, bottom = call["arguments"]["bbox_2d"]
            picture = self.pictures[id][call["arguments"]["target_image"] - 1]
        except (LookupError, ValueError, TypeError):
            return "", False, False
        if call["name"] != "crop_image":
            return "", False, False
        wide, high = picture.size
        if right - left < 4 or bottom - top < 4:
            return "Error processing image: too small </tool_call>", False, False
        edges = (left - 0.1 * wide, top - 0.1 * high, right + 0.1 * wide, bottom + 0.1 * high)
        box = [min(max(int(e), 0), most) for e, most in zip(edges, (wide, high) * 2, strict=True)]
        cut = picture.crop((box[0], box[1], box[2], box[3]))
        self.pictures[id].append(cut)
        file = io.BytesIO()
        cut.save(file, "JPEG")
        url = "data:image/jpeg;base64," + base64.b64encode(file.getvalue()).decode()
        said = f"Here is the cropped image. (Image Size: {cut.width}x{cut.height})\n<image>"
        return {"obs": said, "image": url}, False, True
