"""What every tool of configs/tools promises. A new tool: nothing here, unless an argument of its
own needs an example (`EXAMPLES`).
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from tests.builders import scored
from tests.unit.data.test_video import write_clip
from tests.unit.rollout.service_server import ServiceServer
from tests.unit.rollout.world import ANSWER, World
from vigorl.build import CONFIGS, check_settings
from vigorl.core.media import TextFrame, frame_name
from vigorl.core.metrics import rollout_metrics
from vigorl.core.protocols import Argument, ArgumentKind, Scene, Tool, ToolError
from vigorl.core.records import TaskRecord, TraceRecord
from vigorl.core.rollout import Rollout, StopReason
from vigorl.core.trace import Step, ToolCall, Trace, render_tool_turn
from vigorl.data.encoding import encode_trace
from vigorl.data.images import ImageStore
from vigorl.data.prompt_writer import Domain, Form, PromptWriter
from vigorl.pages.rollouts import render_rollout_page
from vigorl.resolvers import register_resolvers
from vigorl.rollout.collector import build_dialogs, collect
from vigorl.rollout.engines.scripted import ScriptedEngine, by_turn
from vigorl.rollout.recorder import RolloutRecorder, read_rollouts

TOOLS = sorted(path.stem for path in Path(CONFIGS, "tools").glob("*.yaml") if path.stem != "none")
KINDS: dict[ArgumentKind, object] = {  # on the first picture, which is shown at 112 x 112
    ArgumentKind.POINT: [50, 20],
    ArgumentKind.BOX: [40, 10, 60, 30],
    ArgumentKind.POINTS: [[50, 20], [80, 64]],
    ArgumentKind.BOXES: [[40, 10, 60, 30], [70, 50, 100, 90]],
    ArgumentKind.INDEX: 0,
    ArgumentKind.INDICES: [0],
    ArgumentKind.NUMBER: 1,
    ArgumentKind.TEXT: "disc",
}
BAD: dict[ArgumentKind, list[object]] = {
    ArgumentKind.POINT: ["50, 20", [50], [True, 2], [math.nan, 2], [10**400, 2], [500, 20]],
    ArgumentKind.BOX: [{}, [1, 2, 3], [5, 5, 5, 9], [0, 0, math.inf, 5], [0, 0, 500, 5]],
    ArgumentKind.POINTS: [[], [[50]], [[50, 20], [500, 20]], [[50, 20], [math.nan, 20]], 7],
    ArgumentKind.BOXES: [[], 7, [[1, 2, 3]], [[40, 10, 60, 30], [0, 0, 500, 5]], [[0, 0, 5]] * 2],
    ArgumentKind.INDEX: [99, -1, 0.5, True, "0", 10**400],
    ArgumentKind.INDICES: [[99], [-1], [0.5], [True], 0],
    ArgumentKind.NUMBER: ["1", True, math.nan, 10**400, [1]],
    ArgumentKind.TEXT: [7, "", None, "x" * 5000, ["disc"]],
}  # fmt: skip
OF_VIDEOS = ("select_frames", "choose_camera")  # their first picture is a frame of one
EXAMPLES: dict[str, dict[str, object]] = {
    "rotate": {"degrees": 90},
    "detect": {"text": "grey thing"},
    "run_code": {"code": "print(images[0].size); result = images[0].transpose(0)"},
}


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> DictConfig:
    """Of a run with tools, but for the tools."""
    run = tmp_path_factory.mktemp("run")
    register_resolvers()
    with initialize_config_dir(CONFIGS, version_base="1.3"):
        cfg = compose("train", ["env=visual_search_tools", f"paths.run={run}"])
    OmegaConf.set_struct(cfg, False)
    return cfg


@pytest.fixture(scope="module", params=TOOLS)
def file(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def server() -> Iterator[ServiceServer]:
    """Answers the tools that ask a service; where it is, is all that they are told of it."""
    server = ServiceServer()
    yield server
    server.close()


@pytest.fixture(scope="module")
def pictures(world: World, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with pictures of the disc, for tools that look for some."""
    folder = tmp_path_factory.mktemp("pictures")
    for number in range(4):
        shutil.copy(world.picture, folder / f"disc {number}.png")
    return folder


@pytest.fixture(scope="module")
def tool(file: str, settings: DictConfig, server: ServiceServer, pictures: Path) -> Tool:
    tools = OmegaConf.load(Path(CONFIGS, "tools", f"{file}.yaml"))
    assert isinstance(tools, DictConfig)
    (named,) = tools.values()
    if "urls" in named:
        named.urls = [server.url]
    if OmegaConf.is_missing(named, "folder"):
        named.folder = str(pictures)
    cfg = OmegaConf.merge(settings, {"tools": tools})
    assert isinstance(cfg, DictConfig)
    check_settings(cfg)
    (made,) = (instantiate(node) for node in cfg.env.tools)
    return made


@pytest.fixture(scope="module")
def task(file: str, world: World, tmp_path_factory: pytest.TempPathFactory) -> TaskRecord:
    """A question that it can be called on."""
    if file not in OF_VIDEOS:
        return world.task()
    clip = write_clip(tmp_path_factory.mktemp("clip") / "a.mp4", list(range(0, 200, 10)))
    return replace(world.task(), images=(frame_name(clip, 0.0),))


@pytest.fixture(scope="module")
def arguments(file: str, tool: Tool) -> dict[str, object]:
    """Of a call that works; with all that may be left out."""
    own = EXAMPLES.get(file, {})
    return {a.name: own.get(a.name, _example(a)) for a in tool.spec.arguments}


@pytest.fixture(scope="module")
def rollout(world: World, tool: Tool, task: TaskRecord, arguments: dict[str, object]) -> Rollout:
    """Two calls, then the answer."""
    return _rolled_out(world, tool, task, [arguments, arguments])


def _example(argument: Argument) -> object:
    return argument.choices[0] if argument.choices else KINDS[argument.kind]


def _rolled_out(
    world: World, tool: Tool, task: TaskRecord, calls: list[dict[str, object]]
) -> Rollout:
    turns = [render_tool_turn("Look (50, 20).", ToolCall(tool.name, call)) for call in calls]
    room = {"max_new_tokens": 20_000, "max_response_tokens": 10**6}
    environment = world.environment(
        tools=[tool], max_turns=len(calls) + 1, max_images=len(calls) + 2, **room
    )
    dialogs = build_dialogs(environment, [task], group_size=1, phase="p", run_seed=0)
    engine = ScriptedEngine(by_turn([*turns, ANSWER]), world.codec)
    return collect(engine, dialogs, phase="p").rollouts[0]


def _bad_calls(tool: Tool, good: Mapping[str, object]) -> Iterator[dict[str, object]]:
    for argument in tool.spec.arguments:
        rest = {name: value for name, value in good.items() if name != argument.name}
        if not argument.is_optional:
            yield rest
        for value in BAD[argument.kind]:
            yield {**rest, argument.name: value}
        if argument.choices:
            yield {**rest, argument.name: "none of these"}


def test_the_prompt_tells_of_it(file: str, tool: Tool) -> None:
    writer = PromptWriter(domain=Domain.GENERAL, form=Form.TOOLS, answer="text")
    told = writer.write(tools=[tool], frame=TextFrame.PIXELS).system
    assert f'"name": "{tool.name}"' in told
    assert tool.spec.purpose in told
    assert tool.spec.reply in told
    for argument in tool.spec.arguments:
        assert f'"{argument.name}": ' in told
        assert (f'"{argument.name}" may be left out' in told) == argument.is_optional


def test_a_rollout_has_the_tokens_of_the_same_trace(
    world: World, tool: Tool, task: TaskRecord, arguments: dict[str, object], rollout: Rollout
) -> None:
    assert rollout.stop_reason is StopReason.ANSWERED
    assert [turn.tool_error for turn in rollout.turns] == ["", "", ""]
    call = ToolCall(tool.name, arguments)
    trace = Trace((*[Step("Look (50, 20).", call)] * 2, Step("It is the disc.")), "red")
    sample = encode_trace(
        TraceRecord(task, trace),
        prompt=world.environment().prompt,
        codec=world.codec,
        images=world.images,
        tools={tool.name: tool},
    )
    assert sample.token_ids == rollout.token_ids
    assert sample.loss_mask == rollout.loss_mask
    assert sample.views == rollout.views


def test_branches_do_not_change_each_other(
    world: World, tool: Tool, task: TaskRecord, arguments: dict[str, object]
) -> None:
    image = world.images.whole(task.images[0])
    trunk = tool.open(task)
    first = trunk.call(arguments, scene=Scene((image,)))
    scene = Scene((image, *first.views))
    branch = trunk.fork()
    expected = trunk.fork().call(arguments, scene=scene)
    for _ in range(2):
        branch.call(arguments, scene=scene)
    assert trunk.call(arguments, scene=scene) == expected
    assert scene.views == (image, *first.views)


def test_a_record_gives_it_back_with_the_same_pictures(
    world: World, rollout: Rollout, tmp_path: Path
) -> None:
    path = tmp_path / "rollouts.jsonl"
    with RolloutRecorder(path, run_seed=0) as recorder:
        recorder.write(scored(rollout), phase="train/0")
    (read,) = read_rollouts(path)
    assert read.scored.rollout == rollout
    again = ImageStore.from_pretrained(world.folder)
    for shown, kept in zip(rollout.views, read.scored.rollout.views, strict=True):
        assert again.image(kept).tobytes() == world.images.image(shown).tobytes()


def test_the_page_shows_calls_and_pictures(world: World, tool: Tool, rollout: Rollout) -> None:
    page = render_rollout_page([[scored(rollout)]], images=world.images, title="train/0")
    assert page.count(tool.name) >= 2
    assert page.count('alt="view of turn') == len(rollout.shown)


def test_bad_arguments_are_told_and_counted(
    world: World, tool: Tool, task: TaskRecord, arguments: dict[str, object]
) -> None:
    calls = list(_bad_calls(tool, arguments))
    turns = _rolled_out(world, tool, task, calls).turns
    for call, turn in zip(calls, turns, strict=False):
        assert turn.tool_error, call
        assert turn.tool_error in turn.observation
        assert not turn.views
    rollout = _rolled_out(world, tool, task, [*calls, arguments])
    assert rollout.num_tool_errors == len(calls) == len(rollout.turns) - 2
    assert rollout_metrics([scored(rollout)])["rollout/tool_errors_mean"] == len(calls)


def test_an_unknown_argument_is_refused_or_means_nothing(
    world: World, tool: Tool, task: TaskRecord, arguments: dict[str, object]
) -> None:
    scene = Scene((world.images.whole(task.images[0]),))
    opened, more = tool.open(task), {**arguments, "colour": "red"}
    expected = opened.fork().call(arguments, scene=scene)
    with suppress(ToolError):
        assert opened.call(more, scene=scene) == expected
