"""VerlTool's client, against a server that keeps pictures as the released one does."""

from __future__ import annotations

import gc
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageDraw

from tests import builders
from tests.unit.rollout.service_server import ServiceServer
from vigorl.core.errors import ConfigError
from vigorl.core.geometry import Size
from vigorl.core.media import FileImage, ImageView
from vigorl.core.protocols import Observation, Scene, ToolError
from vigorl.data.pictures import open_source
from vigorl.rollout.engines.server_api import png_url
from vigorl.rollout.tools.verltool import VerlTool

CALL = {"bbox_2d": [40, 40, 60, 60], "target_image": 0}


@pytest.fixture
def server() -> Iterator[ServiceServer]:
    server = ServiceServer()
    yield server
    server.close()


@pytest.fixture
def tool(server: ServiceServer, tmp_path: Path) -> VerlTool:
    return made(server, tmp_path)


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    """A blue square in the middle of 200 x 200, shown at 100 x 100."""
    picture = Image.new("RGB", (200, 200), "white")
    ImageDraw.Draw(picture).rectangle((80, 80, 119, 119), fill=(30, 60, 220))
    picture.save(tmp_path / "a.png")
    return Scene((ImageView(FileImage(str(tmp_path / "a.png")), Size(200, 200), Size(100, 100)),))


def made(server: ServiceServer, folder: Path, **settings: Any) -> VerlTool:
    given = {
        "name": "crop_image",
        "purpose": "a closer look",
        "reply": "that part",
        "arguments": {"bbox_2d": "box", "target_image": "index"},
        "folder": str(folder / "kept"),
        "backoff_s": 0.001,
        "rest_s": 0.0,
    }
    return VerlTool(urls=[server.url], **(given | settings))


def grown(scene: Scene, seen: Observation) -> Scene:
    return Scene((*scene.views, *seen.views))


def test_a_crop_comes_back_with_its_words(
    server: ServiceServer, tool: VerlTool, scene: Scene
) -> None:
    seen = tool.open(builders.task()).call(CALL, scene=scene)
    (view,) = seen.views  # 80..120 of the file, and 20 pixels on each side
    assert (view.original, view.size) == (Size(80, 80), Size(80, 80))
    assert seen.parts == ("Here is the cropped image. (Image Size: 80x80)\n", view)
    blue = open_source(view.source).getpixel((40, 40))
    assert isinstance(blue, tuple)
    assert max(abs(one - other) for one, other in zip(blue, (30, 60, 220), strict=True)) < 8
    _, body = server.calls[0]
    assert body["actions"] == [
        '<tool_call>{"name": "crop_image", "arguments": '
        '{"bbox_2d": [80.0, 80.0, 120.0, 120.0], "target_image": 1}}</tool_call>'
    ]
    assert (body["finish"], body["is_last_step"]) == ([False], [False])


def test_pictures_of_its_own_are_targets_and_others_are_not(
    server: ServiceServer, tool: VerlTool, scene: Scene
) -> None:
    opened = tool.open(builders.task())
    more = grown(scene, opened.call(CALL, scene=scene))
    seen = opened.call({"bbox_2d": [20, 20, 60, 60], "target_image": 1}, scene=more)
    assert seen.views[0].original == Size(56, 56)  # 40 pixels and 0.1 of 80 on each side
    assert '"target_image": 2' in server.calls[1][1]["actions"][0]
    with pytest.raises(ToolError, match="There is no picture 5"):
        opened.call({**CALL, "target_image": 5}, scene=more)
    part = Scene((*scene.views, builders.view()))
    with pytest.raises(ToolError, match="does not know that picture"):
        opened.call({**CALL, "target_image": 1}, scene=part)


def test_a_branch_has_its_own_state_and_asks_nothing_twice(
    server: ServiceServer, tool: VerlTool, scene: Scene
) -> None:
    trunk = tool.open(builders.task())
    more = grown(scene, trunk.call(CALL, scene=scene))
    inner = {"bbox_2d": [20, 20, 60, 60], "target_image": 1}
    first, second = trunk.fork(), trunk.fork()
    seen = first.call(inner, scene=more)  # does the first call again under its own name
    assert server.crops.num_done == 3
    assert second.call(inner, scene=more) == trunk.call(inner, scene=more) == seen
    assert server.crops.num_done == 3
    other = second.call({"bbox_2d": [0, 0, 80, 80], "target_image": 1}, scene=more)
    assert other.views[0].original == Size(80, 80)
    assert server.crops.num_done == 6  # all three


def test_what_was_asked_ahead_in_vain_is_not_a_part_of_the_dialog(
    server: ServiceServer, tool: VerlTool, scene: Scene
) -> None:
    opened, other = tool.open(builders.task()), tool.open(builders.task())
    first, second, third = (
        {"bbox_2d": [20, 20, side, side], "target_image": 0} for side in (60, 70, 80)
    )
    for one in (first, second):  # so that the answers are kept
        other.call(one, scene=scene)
    ahead = opened.ask_ahead(third, scene=scene)  # and the turn is refused
    assert ahead is not None
    ahead.result()
    for one in (first, second, third):
        opened.call(one, scene=scene)
    asked = [body for _, body in server.calls if not body["finish"][0]]
    of_it = [body for body in asked if body["trajectory_ids"] == asked[-1]["trajectory_ids"]]
    assert [body["actions"] for body in of_it] == [body["actions"] for body in asked[:3]]


def test_after_a_failure_all_is_done_again(
    server: ServiceServer, tool: VerlTool, scene: Scene
) -> None:
    opened = tool.open(builders.task())
    more = grown(scene, opened.call(CALL, scene=scene))
    failures = [(503, "restarting")]
    server.fault = lambda path, body: failures.pop() if failures else None
    server.crops.pictures.clear()  # it has forgotten
    seen = opened.call({"bbox_2d": [20, 20, 60, 60], "target_image": 1}, scene=more)
    assert seen.views[0].original == Size(56, 56)


def test_what_the_tool_refuses_is_an_error_of_the_call(
    server: ServiceServer, tool: VerlTool, scene: Scene
) -> None:
    opened = tool.open(builders.task())
    with pytest.raises(ToolError, match="too small < /tool_call>"):
        opened.call({"bbox_2d": [40, 40, 41, 41], "target_image": 0}, scene=scene)
    assert opened.call(CALL, scene=scene).views
    odd = [7, {"obs": "", "image": 7}, {"obs": 7}]
    answers = [{}, *({"observations": [one], "dones": [0], "valids": [1]} for one in odd)]
    for number, answer in enumerate(answers):
        server.fault = lambda path, body, answer=answer: (200, answer)
        call = {**CALL, "bbox_2d": [number, 1, 50, 50]}
        with pytest.raises(ToolError, match="no answer that can be read"):
            tool.open(builders.task()).call(call, scene=scene)


def test_a_tool_may_end_the_dialog_and_slots_are_filled(
    server: ServiceServer, tool: VerlTool, scene: Scene
) -> None:
    url = png_url(Image.new("RGB", (9, 9)))
    seen = {"obs": "one <image> two", "image": [url, url]}
    answer = {"observations": [seen], "dones": [True], "valids": [True]}
    server.fault = lambda path, body: (200, answer)
    said = tool.open(builders.task()).call(CALL, scene=scene)
    assert said.is_done
    view = said.views[0]
    assert said.parts == ("one ", view, " two", view)
    answer["observations"] = ["a page says <image> and more"]
    said = tool.open(builders.task()).call({**CALL, "bbox_2d": [1, 1, 9, 9]}, scene=scene)
    assert said.parts == ("a page says < image > and more",)


def test_a_dialog_that_is_gone_leaves_nothing_on_the_server(
    server: ServiceServer, tool: VerlTool, scene: Scene
) -> None:
    opened = tool.open(builders.task())
    opened.call(CALL, scene=scene)
    assert len(server.crops.pictures) == 1
    del opened
    gc.collect()
    for _ in range(200):
        if not server.crops.pictures:
            break
        time.sleep(0.01)
    assert not server.crops.pictures


def test_another_tool_is_words_and_a_way_to_write_it(
    server: ServiceServer, tmp_path: Path, scene: Scene
) -> None:
    tool = made(
        server, tmp_path, name="search", arguments={"query": "text", "most": "number"},
        optional=["most"], action="<search>{query}</search>",
    )  # fmt: skip
    answer = {"observations": ["found"], "dones": [False], "valids": [True]}
    server.fault = lambda path, body: (200, answer)
    assert tool.open(builders.task()).call({"query": "a sign"}, scene=scene).parts == ("found",)
    assert server.calls[0][1]["actions"] == ["<search>a sign</search>"]
    with pytest.raises(ConfigError, match=r"tools\.search\.arguments\.query='word' must be one of"):
        made(server, tmp_path, name="search", arguments={"query": "word"})
    with pytest.raises(ConfigError, match=r"tools\.search\.urls names 2 servers"):
        VerlTool(
            urls=[server.url, "http://other"], name="search", folder="", purpose="a", reply="b",
            arguments={"query": "text"},
        )  # fmt: skip
    with pytest.raises(ConfigError, match=r"tools\.search\.optional names 'x'"):
        made(server, tmp_path, name="search", arguments={"query": "text"}, optional=["x"])
