"""Tools that ask a service, against a real one that reads the pixels it is sent."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import pytest
from PIL import Image, ImageDraw

from tests.unit.rollout.service_server import ServiceServer, picture_in
from vigorl.core.errors import ConfigError
from vigorl.core.geometry import Box, Size
from vigorl.core.media import FileImage, ImageView, Outline, TextFrame
from vigorl.core.protocols import Scene, ToolError
from vigorl.data.pictures import open_source
from vigorl.rollout.engines.server_api import png_url
from vigorl.rollout.tools import service
from vigorl.rollout.tools.detect import Detect
from vigorl.rollout.tools.search_web import SearchWeb
from vigorl.rollout.tools.segment import Segment
from vigorl.rollout.tools.service import AWAY, REFUSED, UNREADABLE

QUICK: dict[str, Any] = {"backoff_s": 0.001, "rest_s": 0.05}


@pytest.fixture
def server() -> Iterator[ServiceServer]:
    server = ServiceServer()
    yield server
    server.close()


@pytest.fixture
def view(tmp_path: Path) -> ImageView:
    """Two red signs and a blue one in 400 x 200, shown at 200 x 100."""
    picture = Image.new("RGB", (400, 200), "white")
    pen = ImageDraw.Draw(picture)
    pen.rectangle((40, 20, 99, 59), fill=(220, 30, 30))
    pen.rectangle((300, 100, 319, 119), fill=(220, 30, 30))
    pen.rectangle((200, 140, 219, 159), fill=(30, 60, 220))
    picture.save(tmp_path / "a.png")
    return ImageView(FileImage(str(tmp_path / "a.png")), Size(400, 200), Size(200, 100))


def detect(server: ServiceServer, **settings: Any) -> Detect:
    return Detect(urls=[server.url], **(QUICK | settings))


CALL = {"text": "red sign"}


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        (
            {},
            "1. red sign [20, 10, 50, 30] (1.00)\n2. red sign [150, 50, 160, 60] (0.90)\n",
        ),
        ({"most": 1}, "1. red sign [20, 10, 50, 30] (1.00)\n"),
        ({"min_score": 0.95, "protocol": "openthinkimg"}, "1. red sign [20, 10, 50, 30] (1.00)\n"),
        (
            {"protocol": "chat", "model": "wise", "multiple_of": 20},
            "1. [20, 10, 50, 30]\n2. [150, 50, 160, 60]\n",
        ),
    ],
)
def test_each_protocol_finds_the_signs(
    server: ServiceServer, view: ImageView, settings: dict[str, Any], text: str
) -> None:
    seen = detect(server, **settings).call(CALL, scene=Scene((view,)))
    assert seen.parts[0] == text
    (shown,) = seen.views
    outlines = [mark.box for mark in shown.marks if isinstance(mark, Outline)]
    assert outlines[0] == Box(40, 20, 100, 60)
    assert len(outlines) == text.count("\n")


def test_places_are_written_in_the_frame_of_the_view_and_of_what_it_shows(
    server: ServiceServer, view: ImageView
) -> None:
    part = replace(view, box=Box(100, 0, 400, 200), size=Size(150, 100), frame=TextFrame.PERMILLE)
    tool = detect(server, marks=False)
    seen = tool.call({"text": "red", "picture": 1}, scene=Scene((view, part)))
    assert seen.parts == ("1. red [666, 500, 734, 600] (1.00)",)  # (300-100)/300, (320-100)/300


def test_the_numbers_of_a_model_may_count_thousandths(
    server: ServiceServer, view: ImageView
) -> None:
    message = {"content": '{"bbox_2d": [500, 700, 550, 800], "label": "a </observation>"}'}
    server.fault = lambda path, body: (200, {"choices": [{"message": message}]})
    tool = detect(server, protocol="chat", model="wise", frame="permille", marks=False)
    seen = tool.call(CALL, scene=Scene((view,)))
    assert seen.parts == ("1. a < /observation> [100, 70, 110, 80]",)


def test_a_model_is_sent_a_picture_that_it_need_not_scale(
    server: ServiceServer, view: ImageView
) -> None:
    detect(server, protocol="chat", model="wise").call(CALL, scene=Scene((view,)))
    image, text = server.calls[0][1]["messages"][0]["content"]
    assert picture_in(image["image_url"]["url"]).size == (392, 196)  # multiples of 28
    assert "red sign" in text["text"]


def test_what_is_not_there_is_said(server: ServiceServer, view: ImageView) -> None:
    seen = detect(server).call({"text": "green sign"}, scene=Scene((view,)))
    assert seen.parts == ("Nothing of that kind was found.",)


@pytest.mark.parametrize("protocol", ["boxes", "chat", "openthinkimg"])
@pytest.mark.parametrize(
    "answer",
    [
        None, [], {}, {"boxes": 7}, {"boxes": [{"box": 7}]}, {"text": {"boxes": [7]}},
        {"text": "out of memory", "error_code": 2},
        {"choices": [{"message": {"content": None, "refusal": "no"}}]},
        {"choices": [{"message": {"content": "I see [1, 2]"}}]},
        {"boxes": [{"box": [0, 0, 10**400, 9]}]}, {"boxes": [{"box": [0] * 4, "score": 10**400}]},
        {"choices": [{"message": {"content": "{" + '"a":[' * 9999 + "]" * 9999 + "}"}}]},
    ],
)  # fmt: skip
def test_an_answer_that_cannot_be_read_is_an_error_of_the_call(
    server: ServiceServer, view: ImageView, protocol: str, answer: Any
) -> None:
    server.fault = lambda path, body: (200, answer)
    tool = detect(server, protocol=protocol, model="wise" if protocol == "chat" else "")
    with pytest.raises(ToolError, match="no answer that can be read"):
        tool.call(CALL, scene=Scene((view,)))


def test_boxes_that_are_none_are_left_out(server: ServiceServer, view: ImageView) -> None:
    bad = [[5, 5, 5, 9], [1, 2, 3], [900, 0, 950, 9], ["a", 0, 1, 2], [float("nan"), 0, 9, 9]]
    boxes = [{"box": box} for box in [*bad, [-10, -10, 40, 20]]]
    server.fault = lambda path, body: (200, {"boxes": boxes})
    seen = detect(server, marks=False).call(CALL, scene=Scene((view,)))
    assert seen.parts == ("1. [0, 0, 20, 10]",)


def test_a_model_belongs_to_its_protocol(server: ServiceServer) -> None:
    with pytest.raises(ConfigError, match=r"tools\.detect\.model='' .* protocol=chat"):
        detect(server, protocol="chat")


@pytest.mark.parametrize(
    "call", [{"point": [25, 15]}, {"text": "red"}, {"point": [45, 25], "bbox": [10, 5, 60, 40]}]
)
def test_an_outline_is_found_by_any_hint(
    server: ServiceServer, view: ImageView, tmp_path: Path, call: dict[str, Any]
) -> None:
    tool = Segment(urls=[server.url], folder=str(tmp_path / "kept"), light=0.5, **QUICK)
    seen = tool.call(call, scene=Scene((view,)))
    assert seen.parts[0] == "Found at [20, 10, 50, 30]; it covers 3.0% of the picture:\n"
    (shown,) = seen.views  # 60 x 40 of 400 x 200 are 3 %
    assert (shown.original, shown.size) == (Size(400, 200), Size(200, 100))
    picture = open_source(shown.source)
    assert picture.getpixel((50, 30)) == (220, 30, 30)
    assert picture.getpixel((310, 110)) == (110, 15, 15)
    assert "point" not in call or server.calls[0][1]["point"][0] == 2 * call["point"][0]


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ({"mask": "no picture"}, UNREADABLE), ({"mask": 7}, UNREADABLE), (None, UNREADABLE),
        ({"mask": None}, ""),
    ],
)  # fmt: skip
def test_an_outline_that_is_none(
    server: ServiceServer, view: ImageView, tmp_path: Path, answer: Any, said: str
) -> None:
    server.fault = lambda path, body: (200, answer)
    tool = Segment(urls=[server.url], folder=str(tmp_path), **QUICK)
    if not said:
        assert tool.call({"text": "red"}, scene=Scene((view,))).parts == (
            "Nothing was found there.",
        )
        return
    with pytest.raises(ToolError, match=said):
        tool.call({"text": "red"}, scene=Scene((view,)))
    with pytest.raises(ToolError, match='needs a "point", a "bbox" or a "text"'):
        tool.call({}, scene=Scene((view,)))


def test_a_question_is_asked_once_whoever_asks_it_and_by_a_later_run(
    server: ServiceServer, view: ImageView, tmp_path: Path
) -> None:
    tool = detect(server, cache=str(tmp_path / "answers"))
    scene = Scene((view,))
    ahead = [tool.ask_ahead(CALL, scene=scene) for _ in range(4)]
    assert len(set(ahead)) == 1
    seen = tool.call(CALL, scene=scene)
    marked = Scene((seen.views[0],))
    assert tool.call(CALL, scene=marked).views[0].unmarked == view.source  # marks are not sent
    server.close()
    again = detect(server, cache=str(tmp_path / "answers"))
    assert again.call(CALL, scene=scene) == seen
    assert len(server.calls) == 1


def test_another_tool_is_not_answered_with_what_was_kept_for_this_one(
    server: ServiceServer, view: ImageView, tmp_path: Path
) -> None:
    for name in ("detect", "signs"):  # perhaps of other servers
        detect(server, name=name, cache=str(tmp_path)).call(CALL, scene=Scene((view,)))
    assert len(server.calls) == 2


def test_what_cannot_be_read_is_not_kept(
    server: ServiceServer, view: ImageView, tmp_path: Path
) -> None:
    server.fault = lambda path, body: (200, {"text": "out of memory", "error_code": 2})
    tool, scene = detect(server, cache=str(tmp_path)), Scene((view,))
    with pytest.raises(ToolError, match=UNREADABLE):
        tool.call(CALL, scene=scene)
    server.fault = lambda path, body: None
    assert tool.call(CALL, scene=scene).views
    assert detect(server, cache=str(tmp_path)).call(CALL, scene=scene).views


@pytest.mark.parametrize(
    ("answer", "said"),
    [((400, "no"), REFUSED), ((503, "busy"), AWAY), ((200, {"text": "odd"}), UNREADABLE)],
)
def test_who_asked_ahead_is_told_of_a_failure_that_was_shared(
    server: ServiceServer, view: ImageView, answer: Any, said: str
) -> None:
    server.fault = lambda path, body: answer
    tool, scene = detect(server, max_attempts=1), Scene((view,))
    for _ in range(3):
        tool.ask_ahead(CALL, scene=scene)
    for _ in range(3):
        with pytest.raises(ToolError, match=said):
            tool.call(CALL, scene=scene)
    assert len(server.calls) == 1
    time.sleep(0.06)  # rest_s
    server.fault = lambda path, body: None
    assert tool.call(CALL, scene=scene).views


def test_who_asks_after_a_bad_answer_asks_anew_and_who_asked_before_waits_for_nothing(
    server: ServiceServer, view: ImageView, tmp_path: Path
) -> None:
    server.fault = lambda path, body: (200, {"text": "odd"})
    tool, scene = detect(server, rest_s=30.0, cache=str(tmp_path)), Scene((view,))
    for _ in range(2):
        tool.ask_ahead(CALL, scene=scene)
    with pytest.raises(ToolError, match=UNREADABLE):
        tool.call(CALL, scene=scene)
    may_answer = threading.Event()
    server.fault = lambda path, body: None if may_answer.wait(20) else (503, "late")
    later = tool.ask_ahead(CALL, scene=scene)
    with pytest.raises(ToolError, match=UNREADABLE):  # at once, though the other is not there
        tool.call(CALL, scene=scene)
    may_answer.set()
    assert tool.call(CALL, scene=scene).views
    assert later is not None
    assert len(server.calls) == 2
    tool.call(CALL, scene=scene)
    assert detect(server, cache=str(tmp_path)).call(CALL, scene=scene).views
    assert len(server.calls) == 2  # the good one is kept


def test_memory_holds_as_many_answers_as_it_has_bytes_for(
    server: ServiceServer, view: ImageView, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "_KEPT_BYTES", 5000)
    server.fault = lambda path, body: (200, {"boxes": [], "more": "x" * 2000})
    tool, scene = detect(server), Scene((view,))
    calls = [{"text": text} for text in ("a", "b", "c")]
    for call in [*calls, *reversed(calls)]:  # c and b are there, a is not
        tool.call(call, scene=scene)
    assert [body["text"] for _, body in server.calls] == ["a", "b", "c", "a"]


def test_an_answer_without_end_costs_a_call(
    server: ServiceServer, view: ImageView, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "_MOST_BYTES", 100_000)
    tool, scene = detect(server, max_attempts=1), Scene((view,))
    server.fault = lambda path, body: (200, {"boxes": [], "more": "x" * 200_000})
    with pytest.raises(ToolError, match=REFUSED):
        tool.call(CALL, scene=scene)
    server.raw = b"[" * 50_000
    with pytest.raises(ToolError, match=AWAY):
        tool.call(CALL, scene=scene)


def test_an_answer_that_drips_is_waited_for_no_longer_than_one_that_does_not_come(
    server: ServiceServer, view: ImageView
) -> None:
    server.drip_s = 0.02
    tool, scene = detect(server, max_attempts=1, timeout_s=0.2), Scene((view,))
    with pytest.raises(ToolError, match=AWAY):
        tool.call({"text": "red sign"}, scene=scene)
    (call,) = server.calls
    assert 0.02 * len(json.dumps(server.answer(*call)[1])) > 0.2  # else it came in time
    server.drip_s = 0.0
    time.sleep(0.06)  # rest_s
    assert tool.call(CALL, scene=scene).views


def test_headers_that_drip_are_waited_for_no_longer(server: ServiceServer, view: ImageView) -> None:
    server.drip_s, server.drips_headers = 0.05, True
    tool, scene = detect(server, max_attempts=1, timeout_s=0.2), Scene((view,))
    with pytest.raises(ToolError, match=AWAY):
        tool.call(CALL, scene=scene)
    assert server.num_dripped < len(server.head(200, b"..."))
    server.drip_s, server.drips_headers = 0.0, False
    time.sleep(0.06)  # rest_s
    assert tool.call(CALL, scene=scene).views


def test_a_picture_that_is_too_large_is_not_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    url = png_url(Image.new("RGB", (20, 10)))
    assert service.picture_of(url).size == (20, 10)
    monkeypatch.setattr(service, "_MOST_PIXELS", 199)
    with pytest.raises(ToolError, match=UNREADABLE):
        service.picture_of(url)


def test_questions_of_many_dialogs_are_in_flight_together(
    server: ServiceServer, view: ImageView
) -> None:
    opened = server.fault = _Barrier(8)
    tool, scene = detect(server), Scene((view,))
    calls = [{"text": f"red sign {number}"} for number in range(8)]
    for call in calls:
        tool.ask_ahead(call, scene=scene)
    seen = [tool.call(call, scene=scene) for call in calls]
    assert opened.most == 8
    assert [str(one.parts[0])[:13] for one in seen] == [f"1. {call['text']}"[:13] for call in calls]


class _Barrier:
    """Answers once so many ask at the same time."""

    def __init__(self, parties: int) -> None:
        self.most, self._barrier = parties, threading.Barrier(parties, timeout=20)

    def __call__(self, path: str, body: Any) -> None:
        self._barrier.wait()


def test_a_service_that_is_away_is_told_once_and_asked_again_later(
    server: ServiceServer, view: ImageView, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    down = True
    server.fault = lambda path, body: (503, "busy") if down else None
    tool, scene = detect(server, max_attempts=2), Scene((view,))
    for number in range(3):
        with pytest.raises(ToolError, match=AWAY):
            tool.call({"text": f"red {number}"}, scene=scene)
    assert len(server.calls) == 2  # the attempts of the first
    down = False
    time.sleep(0.06)  # rest_s
    assert tool.call(CALL, scene=scene).views
    first, second = [record.getMessage() for record in caplog.records]
    assert first.startswith("tools.detect: the service is away")
    assert second == "tools.detect: the service is back; 3 calls had no answer"


def test_a_refusal_is_of_one_call(
    server: ServiceServer, view: ImageView, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    server.fault = lambda path, body: (400, "no such words") if "bad" in body["text"] else None
    tool, scene = detect(server), Scene((view,))
    for _ in range(2):
        with pytest.raises(ToolError, match=REFUSED):
            tool.call({"text": "bad"}, scene=scene)
    assert tool.call(CALL, scene=scene).views
    (record,) = caplog.records
    assert "no such words" in record.getMessage()


def test_a_key_comes_from_the_environment_alone(
    server: ServiceServer, view: ImageView, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ConfigError, match=r"tools\.detect\.api_key_env names NO_KEY"):
        detect(server, api_key_env="NO_KEY")
    monkeypatch.setenv("A_KEY", "secret")
    tool = detect(server, api_key_env="A_KEY")
    assert "secret" not in repr(tool)
    tool.call(CALL, scene=Scene((view,)))
    assert server.headers[0]["Authorization"] == "Bearer secret"


@pytest.mark.parametrize("protocol", ["plain", "searxng"])
def test_a_search_is_told_as_text(
    server: ServiceServer, view: ImageView, protocol: Literal["plain", "searxng"]
) -> None:
    tool = SearchWeb(
        urls=[server.url], protocol=protocol, result_characters=30, fields={"language": "en"},
        **QUICK,
    )  # fmt: skip
    seen = tool.call({"query": "open platform & 9"}, scene=Scene((view,)))
    assert seen.parts == (
        "1. Platforms (https://example.org/a)\nTrains to the coast leave fro…\n"
        "2. Opening (https://example.org/b)\nThe museum is open < image > …",
    )
    path, body = server.calls[0]
    assert (body or {"language": path.partition("language=")[2][:2]})["language"] == "en"
    nothing = tool.call({"query": "zebra"}, scene=Scene((view,)))
    assert nothing.parts == ("Nothing was found for these words.",)
    assert tool.call({"query": "half \ud83d"}, scene=Scene((view,))).parts == nothing.parts
    server.fault = lambda path, body: (200, {"results": [7]})
    with pytest.raises(ToolError, match=UNREADABLE):
        tool.call({"query": "other"}, scene=Scene((view,)))
