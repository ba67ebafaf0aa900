"""What a judge is shown and asked about a thought, and what becomes of its replies."""

from __future__ import annotations

import base64
import io
import random
import re
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageChops

from tests.builders import RESIZED, TOOL_NAME, call_text
from tests.unit.rollout.fake_judge import FakeJudge, in_turn
from tests.unit.rollout.fake_server import FakeServer, chat_reply
from tests.unit.rollout.world import World
from vigorl.core.errors import ConfigError, DataError, EngineError
from vigorl.core.geometry import Point
from vigorl.core.search_tree import CheckedBy, SearchNode, SearchTreeRecord
from vigorl.core.trace import render_answer_turn
from vigorl.rollout.judge import HOPELESS, JudgePrompt
from vigorl.rollout.tools.zoom_point import ZoomPoint
from vigorl.search.point_check import PointCheck
from vigorl.search.point_prompt import read_verdict

TOOLS = {TOOL_NAME: ZoomPoint(window_px=112, view_px=56)}
YES, NO = "A disc. <verdict>yes</verdict>", "Sky. <verdict>no</verdict>"


def node(text: str, *children: SearchNode, at: tuple[Point, ...] = (), **fields: Any) -> SearchNode:
    fields = {"is_terminal": False, "value": 0.0, "num_visits": 1} | fields
    return SearchNode(text, used_points=at, children=children, **fields)


def look(x: int, y: int, *children: SearchNode, **fields: Any) -> SearchNode:
    return node(call_text(x, y), *children, at=(Point(x, y),), **fields)


@pytest.fixture
def picture(tmp_path: Path) -> str:
    """448 px of a slanting ramp."""
    path = tmp_path / "ramp.png"
    Image.linear_gradient("L").resize((448, 448)).rotate(45, fillcolor=128).convert("RGB").save(
        path
    )
    return str(path)


def tree(picture: str, *children: SearchNode, **fields: Any) -> SearchTreeRecord:
    fields = {"id": "t", "question": "What colour is the disc?", "answer": "s3cret"} | fields
    root = node(fields["question"], *children)
    return SearchTreeRecord(image=picture, root=root, frame=RESIZED, **fields)


def checked(judge: FakeJudge, *trees: SearchTreeRecord) -> list[SearchTreeRecord]:
    check = PointCheck(judge, tools=TOOLS)
    for one in trees:
        check.submit(one)
    return list(check.finish())


def hits(one: SearchTreeRecord) -> list[bool | None]:
    return [node.is_hit for node in one.root.walk()][1:]


def asked_of(picture: str, *children: SearchNode, **fields: Any) -> list[JudgePrompt]:
    """What a judge is asked about a tree."""
    prompts: list[JudgePrompt] = []

    def listen(prompt: JudgePrompt) -> str:
        prompts.append(prompt)
        return YES

    checked(FakeJudge(listen), tree(picture, *children, **fields))
    return prompts


def drawn(prompt: JudgePrompt) -> list[Image.Image]:
    assert prompt.draw is not None
    return list(prompt.draw())


def frame_box(image: Image.Image) -> tuple[int, int, int, int]:
    """Around all that is magenta."""
    rows, columns = np.nonzero((np.asarray(image) == (255, 0, 255)).all(axis=-1))
    return columns.min(), rows.min(), columns.max() + 1, rows.max() + 1


@pytest.mark.parametrize(
    ("reply", "verdict"),
    [
        (YES, True),
        (NO, False),
        ("<verdict> Yes </verdict>\n", True),
        ("Not <verdict>yes</verdict>, rather <verdict>NO</verdict>", False),
        ("yes", None),
        ("<verdict>YES OR NO</verdict>", None),  # an echo of what was asked
        ("<verdict>perhaps</verdict>", None),
        ("<verdict>yes", None),  # cut by the token limit
        ("", None),
    ],
)
def test_replies(reply: str, verdict: bool | None) -> None:
    assert read_verdict(reply) is verdict


def test_a_prompt_holds_question_and_thought_but_no_answer(picture: str) -> None:
    (prompt,) = asked_of(picture, look(50, 20), question="<image>What {colour}?")
    assert "[image]What {colour}?" in prompt.text
    assert call_text(50, 20) in prompt.text
    assert "s3cret" not in prompt.text
    assert read_verdict(prompt.text) is None
    assert prompt.text.count("<image>") == len(drawn(prompt)) == 2


def test_the_frame_is_where_the_point_is_and_leaves_it_visible(picture: str) -> None:
    (prompt,) = asked_of(picture, look(50, 20))
    whole, _ = drawn(prompt)
    left, top, right, bottom = frame_box(whole)
    # 1 RESIZED pixel is 4 of the file: (50, 20) is (200, 80)
    assert ((left + right) / 2, (top + bottom) / 2) == pytest.approx((200, 80), abs=1)
    assert right - left == pytest.approx(2 * (0.025 * 448 + 2), abs=2)
    original = Image.open(picture)
    inside = (196, 76, 204, 84)
    assert whole.crop(inside).tobytes() == original.crop(inside).tobytes()
    changed = ImageChops.difference(whole, original).getbbox()
    assert changed is not None
    assert (changed[2] - changed[0], changed[3] - changed[1]) < (40, 40)


def test_a_large_picture_is_shown_smaller_with_the_frame_at_its_place(tmp_path: Path) -> None:
    path = tmp_path / "large.png"
    Image.new("RGB", (4000, 1000), "white").save(path)
    prompts: list[JudgePrompt] = []
    judge = FakeJudge(lambda prompt: prompts.append(prompt) or YES)
    check = PointCheck(judge, tools=TOOLS, max_side_px=1000)
    check.submit(tree(str(path), node("It is at (100, 50).", at=(Point(100, 50),))))
    list(check.finish())
    (whole,) = drawn(prompts[0])
    assert whole.size == (1000, 250)
    left, top, right, bottom = frame_box(whole)
    # the frame is 112 x 112 here: 100 / 112 * 1000, 50 / 112 * 250
    assert ((left + right) / 2, (top + bottom) / 2) == pytest.approx((892.9, 111.6), abs=1)


def test_a_zoom_comes_with_the_window_that_it_showed(picture: str) -> None:
    (prompt,) = asked_of(picture, look(50, 20))
    _, window = drawn(prompt)
    # 112 px around (200, 80)
    expected = Image.open(picture).crop((144, 24, 256, 136)).resize((56, 56))
    assert (window.size, window.tobytes()) == (expected.size, expected.tobytes())
    assert "enlarged" in prompt.text
    last = look(50, 20, is_terminal=True)  # the dialog was over: its call showed nothing
    (prompt,) = asked_of(picture, last)
    assert len(drawn(prompt)) == 1
    assert "enlarged" not in prompt.text


def test_each_thought_is_asked_about_by_its_own_points(picture: str) -> None:
    a, b, c = Point(20, 20), Point(90, 30), Point(60, 100)
    end = node(render_answer_turn("So.", "red"), at=(a, b, c), is_terminal=True)
    below = node("Here (90, 30) or (60, 100).", end, at=(a, b, c))
    first, second = asked_of(picture, node("There (20, 20).", below, at=(a,)))
    assert "There (20, 20)" in first.text
    assert drawn(first)[0].tobytes() == drawn(first)[0].tobytes()  # no frame stays on the original
    left, top, right, bottom = frame_box(drawn(second)[0])
    # from the frame of c at x = 240 to that of b at x = 360, and from b's at y = 120 to c's at 400
    assert (left + 13, top + 13, right - 13, bottom - 13) == pytest.approx(
        (240, 120, 360, 400), abs=2
    )


def test_verdicts_are_those_of_their_thoughts_in_any_order_of_arrival(picture: str) -> None:
    def verdict(prompt: JudgePrompt) -> str:
        time.sleep(random.random() / 100)  # noise that is never the same
        (x,) = re.findall(r'"coordinate": \[(\d+), 20\]', prompt.text)
        return "?" if int(x) % 3 == 0 else YES if int(x) % 3 == 1 else NO

    children = [look(x, 20, look(x + 1, 20)) for x in range(20, 60, 2)]
    trees = [tree(picture, *children, id=f"t{i}") for i in range(3)]
    expected = [{0: None, 1: True, 2: False}[x % 3] for x in range(20, 60)]
    for num_threads in (1, 16):
        found = checked(FakeJudge(verdict, num_threads=num_threads), *trees)
        assert {one.id for one in found} == {"t0", "t1", "t2"}
        for one in found:
            # points are the path's, so a child's own are those after its parent's
            assert hits(one) == expected
            assert one.checked_by is CheckedBy.JUDGE


def test_what_needs_no_judge_is_not_asked(picture: str) -> None:
    known = look(50, 20, is_hit=True)
    pointless = node("Hm.")
    off = node("It is at (5000, 20).", at=(Point(5000, 20),))
    assert asked_of(picture, known, pointless, off) == []
    (one,) = checked(in_turn(), tree(picture, known, pointless, off))
    assert hits(one) == [True, None, False]
    half_off = node("Off, or (50, 20).", at=(Point(999_999_999, 20), Point(50, 20)))
    (prompt,) = asked_of(picture, half_off)
    left, top, right, bottom = frame_box(drawn(prompt)[0])
    assert ((left + right) / 2, (top + bottom) / 2) == pytest.approx((200, 80), abs=1)


def test_a_missing_verdict_is_none(picture: str) -> None:
    (one,) = checked(
        in_turn("no idea", None, NO), tree(picture, look(1, 1), look(9, 9), look(20, 20))
    )
    assert hits(one) == [None, None, False]


def test_trees_are_held_back_while_there_is_no_reply(picture: str) -> None:
    judge = in_turn(YES, "", None, "", YES, "")
    check = PointCheck(judge, tools=TOOLS)

    def next_trees(one: SearchTreeRecord) -> list[str]:
        """What is handed out when its reply is in."""
        check.submit(one)
        judge.submit(JudgePrompt("")).result()  # it answers in order
        return [one.id for one in check.poll()]

    assert next_trees(tree(picture, look(1, 1), id="a")) == ["a"]
    assert next_trees(tree(picture, look(1, 1), id="b")) == []
    assert check.num_waiting == 1
    assert next_trees(tree(picture, look(1, 1), id="c")) == ["b", "c"]
    assert check.num_waiting == 0


def test_a_judge_out_of_reach_is_an_error(picture: str) -> None:
    many = tree(picture, *(look(x, 20) for x in range(20, 60)))
    with pytest.raises(
        EngineError, match=f"no reply to {HOPELESS} questions one after the other.*busy"
    ):
        checked(FakeJudge(lambda prompt: None), many)
    few = tree(picture, look(20, 20), look(30, 20))
    with pytest.raises(EngineError, match="no reply to 2 questions"):
        checked(in_turn(None, None), few)
    # an outage later on counts too; a failure now and then does not
    with pytest.raises(EngineError, match=f"no reply to {HOPELESS} questions"):
        checked(in_turn(*[YES] * 20, *[None] * 20), many)
    (one,) = checked(in_turn(*[None, YES] * 20), many)
    assert hits(one) == [None, True] * 20
    (one,) = checked(in_turn(YES, None), few)
    assert hits(one) == [True, None]


def test_what_was_checked_before_the_judge_fell_silent_is_handed_out(picture: str) -> None:
    for is_last in (True, False):
        judge = in_turn(YES, *[None] * HOPELESS, "")
        check = PointCheck(judge, tools=TOOLS)
        check.submit(tree(picture, look(20, 20), id="early"))
        check.submit(tree(picture, *(look(x, 20) for x in range(20, 20 + HOPELESS)), id="late"))
        judge.submit(JudgePrompt("")).result()  # it answers in order
        found = check.finish() if is_last else iter(check.poll())
        assert next(found).id == "early"
        with pytest.raises(EngineError, match=f"no reply to {HOPELESS} questions"):
            next(found) if is_last else check.poll()


def test_a_picture_that_is_gone_is_named(picture: str) -> None:
    check = PointCheck(FakeJudge(lambda prompt: str(drawn(prompt))), tools=TOOLS)
    Path(picture).write_bytes(Path(picture).read_bytes()[:900])  # its header is whole
    check.submit(tree(picture, look(50, 20)))
    with pytest.raises(DataError, match=r"ramp\.png: the picture is damaged"):
        list(check.finish())


def test_what_is_let_go_is_neither_asked_nor_handed_out(picture: str) -> None:
    is_over, prompts = threading.Event(), list[JudgePrompt]()

    def slow(prompt: JudgePrompt) -> str:
        prompts.append(prompt)
        is_over.wait(20)
        return YES

    check = PointCheck(FakeJudge(slow), tools=TOOLS)
    check.submit(tree(picture, *(look(x, 20) for x in range(20, 40))))
    check.cancel()
    is_over.set()
    check.submit(tree(picture, look(50, 20), id="again"))
    assert [one.id for one in check.finish()] == ["again"]
    assert len(prompts) <= 2


@pytest.fixture
def server(world: World) -> Iterator[FakeServer]:
    def see(path: str, body: dict[str, Any]) -> tuple[int, str]:
        """Yes to frames in the left half of the picture that arrived."""
        whole, *_ = shown_to(body)
        left, _, right, _ = frame_box(whole)
        return chat_reply(YES if left + right < whole.width else NO)

    one = FakeServer(world.codec, see)
    yield one
    one.kill()


def shown_to(body: dict[str, Any]) -> list[Image.Image]:
    """The pictures of a request, decoded."""
    ((message),) = body["messages"]
    urls = [part["image_url"]["url"] for part in message["content"] if part["type"] == "image_url"]
    return [Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2]))) for url in urls]


def test_an_endpoint_sees_the_mark_and_is_believed(picture: str, server: FakeServer) -> None:
    check = PointCheck.connect(tools=TOOLS, urls=[server.url], model="wise", extra={"seed": None})
    check.submit(tree(picture, *(look(x, 20) for x in range(20, 100, 10))))
    (one,) = check.finish()
    assert hits(one) == [x < 56 for x in range(20, 100, 10)]
    assert {path for path, _ in server.posts} == {"/v1/chat/completions"}
    body = server.posts[0][1]
    assert (body["model"], body["max_tokens"]) == ("wise", 256)
    assert "seed" not in body
    assert [image.size for image in shown_to(body)] == [(448, 448), (56, 56)]


def test_bad_settings_are_named() -> None:
    with pytest.raises(ConfigError, match=r"check\.max_side_px must be at least 64, got 9"):
        PointCheck(in_turn(), tools=TOOLS, max_side_px=9)
    with pytest.raises(ConfigError, match=r"check\.urls is a list"):
        PointCheck.connect(tools=TOOLS, urls="http://host:1", model="wise")
