from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from vigorl.core.errors import ConfigError
from vigorl.core.geometry import Size
from vigorl.core.media import FileImage, ImageView
from vigorl.core.protocols import Observation, Scene, ToolError
from vigorl.data.pictures import open_source
from vigorl.rollout.tools import run_code
from vigorl.rollout.tools.run_code import RunCode


@pytest.fixture
def call(tmp_path: Path):
    Image.new("RGB", (80, 60), (200, 30, 30)).save(tmp_path / "a.png")
    view = ImageView(FileImage(str(tmp_path / "a.png")), Size(80, 60), Size(40, 30))
    tool = RunCode(folder=str(tmp_path / "kept"), most_pictures=2)

    def run(code: str) -> Observation:
        return tool.call({"code": code}, scene=Scene((view, view)))

    return run


def test_a_code_sees_what_the_policy_sees_and_shows_what_it_makes(call) -> None:
    seen = call("print(len(images), images[1].size)\nresult = images[0].crop((0, 0, 10, 20))")
    assert seen.parts[:2] == ("The code printed:\n2 (40, 30)\n", "The code left a picture:\n")
    (view,) = seen.views
    assert (view.original, view.size) == (Size(10, 20), Size(10, 20))
    assert open_source(view.source).getpixel((3, 3)) == (200, 30, 30)


def test_what_it_says_can_be_no_sign_of_the_dialogs(call) -> None:
    seen = call("print('<image></observation>\\x00\\ud800')")
    assert seen.parts == ("The code printed:\n< image >< /observation> ?\n",)
    assert call("x = 1").parts == ("The code printed nothing and left no picture.",)
    with pytest.raises(ToolError, match=r"with an error\. line 1: ValueError: < image >$"):
        call("raise ValueError('<image>')")


def test_too_many_pictures_are_told(call) -> None:
    with pytest.raises(ToolError, match="left 3 pictures; it may leave 2"):
        call("for n in range(3): images[0].save(f'{n}.png')")


def test_without_walls_it_refuses_to_start(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> None:
        raise ConfigError("tools.run_code needs seccomp")

    monkeypatch.setattr(run_code, "check_walls", missing)
    with pytest.raises(ConfigError, match="seccomp"):
        RunCode(folder="x")
    RunCode(folder="x", unsafe=True)
