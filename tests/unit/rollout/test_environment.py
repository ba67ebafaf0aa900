from collections.abc import Mapping

import pytest

from tests import builders
from tests.unit.rollout.world import ANSWER, CROP_TOKENS, OFF_PICTURE, ZOOM, ZOOM_AGAIN, World
from vigorl.core.errors import ConfigError, DataError, EngineError
from vigorl.core.geometry import Box, Point, Size
from vigorl.core.markup import Markup
from vigorl.core.media import Dot, GaussianNoise, ImageView, Region, Stored
from vigorl.core.protocols import (
    Argument,
    ArgumentKind,
    Completion,
    Observation,
    Scene,
    ToolError,
    ToolSpec,
)
from vigorl.core.records import TaskRecord, TraceRecord
from vigorl.core.rollout import RewardBreakdown, Rollout, ScoredRollout, StopReason
from vigorl.core.trace import (
    FORCED_ANSWER_PREFIX,
    Step,
    ToolCall,
    Trace,
    observation_parts,
    observation_text,
    render_tool_turn,
)
from vigorl.data.encoding import encode_trace, trace_rollout
from vigorl.data.markups.action_tags import ActionTags
from vigorl.data.markups.code_block import CodeBlock
from vigorl.data.markups.qwen_json import QwenJson
from vigorl.data.markups.xml import XmlMarkup
from vigorl.data.prompts import Prompt
from vigorl.rollout.dialog import Dialog
from vigorl.rollout.environment import Environment
from vigorl.rollout.exploration import NoisyBranch
from vigorl.rollout.recorder import rollout_from_json, rollout_to_json
from vigorl.rollout.seeds import derive_seed
from vigorl.rollout.tools.mark_points import MarkPoints

SHOWN = ("Here is the crop of the image centered on the coordinate:\n", builders.view())


def reply(dialog: Dialog, ids: list[int], *, is_finished: bool = True) -> None:
    request = dialog.next_request()
    logprobs = tuple(-0.25 * (i + 1) for i in range(len(ids)))
    dialog.accept(Completion(request.id, tuple(ids), logprobs, is_finished=is_finished))


def play(environment: Environment, world: World, *texts: str) -> Rollout:
    dialog = environment.start(world.task(), group="g", index=0, seed=1)
    for text in texts:
        assert not dialog.is_done, f"ended before {text!r}"
        reply(dialog, world.codec.completion_ids(text))
    return dialog.rollout(policy_version=3)


def test_one_turn(world: World) -> None:
    rollout = play(world.environment(), world, ANSWER)
    completion = world.codec.completion_ids(ANSWER)
    assert rollout.stop_reason is StopReason.ANSWERED
    assert rollout.token_ids == (*rollout.prompt_ids, *completion)
    assert rollout.loss_mask == (0,) * len(rollout.prompt_ids) + (1,) * len(completion)
    assert rollout.sampling_logprobs[-1] == -0.25 * len(completion)
    assert (rollout.answer, rollout.policy_version) == ("red", 3)
    assert completion[-1] == world.codec.end_id  # the sampled end is trained on


def test_two_turns(world: World) -> None:
    rollout = play(world.environment(), world, ZOOM, ANSWER)
    zoom, answer = world.codec.completion_ids(ZOOM), world.codec.completion_ids(ANSWER)
    shown = world.codec.observation_ids(observation_parts(SHOWN))
    assert rollout.token_ids == (*rollout.prompt_ids, *zoom, *shown, *answer)
    assert rollout.loss_mask == (
        (0,) * len(rollout.prompt_ids)
        + (1,) * len(zoom)
        + (0,) * len(shown)
        + (1,) * len(answer)
    )  # fmt: skip
    assert rollout.token_ids.count(world.codec.image_id) == len(rollout.views) == 2
    assert rollout.turns[0].observation == observation_text(SHOWN)
    assert rollout.looks == (Region(Point(200, 80), Box(144, 24, 256, 136)),)
    assert rollout.crops[0].box == Box(144, 24, 256, 136)


def test_three_turns_all_cut_from_the_original(world: World) -> None:
    rollout = play(world.environment(), world, ZOOM, ZOOM_AGAIN, ANSWER)
    assert [crop.box for crop in rollout.crops] == [Box(144, 24, 256, 136), Box(304, 304, 416, 416)]
    assert all(len(turn.completion_ids) for turn in rollout.turns)
    num_sampled = sum(len(turn.completion_ids) for turn in rollout.turns)
    assert sum(rollout.loss_mask) == num_sampled
    assert len(rollout.loss_mask) == len(rollout.token_ids) == len(rollout.sampling_logprobs)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (OFF_PICTURE, "The point (500, 20) is outside the image, which is 112 wide and 112 high."),
        (
            '<think> a </think>\n<tool_call>\n{"name": "fly", "arguments": {}}\n</tool_call>',
            "There is no tool of that name. The tools are: search_coordinate.",
        ),
        (
            "<think> a </think>\n<tool_call>\n{name: 3}\n</tool_call>",
            "The tool call could not be read: the tool call is not JSON",
        ),
        (
            "<think> a </think>\n<tool_call>\n{",
            "The tool call could not be read: a tag has no partner",
        ),
    ],
)
def test_a_bad_call_is_observed_counted_and_costs_a_turn(
    world: World, text: str, reason: str
) -> None:
    rollout = play(world.environment(), world, text, ANSWER)
    first = rollout.turns[0]
    assert first.tool_error.startswith(reason)
    assert first.observation == observation_text((first.tool_error,))
    assert first.observation_ids == tuple(world.codec.observation_ids([first.observation]))
    assert (first.views, first.focus, rollout.num_tool_errors) == ((), None, 1)
    assert (rollout.crops, rollout.stop_reason) == ((), StopReason.ANSWERED)


NEAR, FAR, OFF = (ToolCall("search_coordinate", {"coordinate": [x, 90]}) for x in (50, 90, 500))
TWO_LOOKS = render_tool_turn("At (50, 20) and (90, 90).", NEAR, FAR)


@pytest.mark.parametrize("markup", [None, QwenJson(), XmlMarkup(), ActionTags(), CodeBlock()])
def test_several_calls_in_the_policys_own_form(world: World, markup: Markup | None) -> None:
    plain = world.environment(max_calls_per_turn=2)
    codec = world.codec.speaking(markup.dialect([world.zoom()]) if markup else None)
    environment = Environment(
        prompt=plain.prompt, codec=codec, images=world.images, tools=[world.zoom()],
        limits=plain.limits,
    )  # fmt: skip
    dialog = environment.start(world.task(), group="g", index=0, seed=1)
    for text in (TWO_LOOKS, ANSWER):
        reply(dialog, codec.completion_ids(text))
    rollout = dialog.rollout()
    looked = rollout.turns[0]
    assert (looked.text, looked.tool_error) == (TWO_LOOKS, "")
    assert looked.parsed.tool_calls == (NEAR, FAR)
    assert looked.observation.count("<image>") == len(looked.views) == 2
    assert looked.focus is not None
    assert looked.focus.point == Point(360, 360)
    said = world.codec.decode(looked.completion_ids)
    assert said == (codec.dialect.write(TWO_LOOKS) if codec.dialect else TWO_LOOKS)
    steps = (Step("At (50, 20) and (90, 90).", NEAR, (FAR,)), Step("It is the disc."))
    record = TraceRecord(world.task(), Trace(steps, "red"))
    sample = encode_trace(
        record, prompt=plain.prompt, codec=codec, images=world.images,
        tools=environment.tools, max_calls=2,
    )  # fmt: skip
    assert sample.token_ids == rollout.token_ids


def test_the_next_call_of_a_turn_draws_on_what_the_one_before_has_drawn(world: World) -> None:
    plain = world.environment(max_calls_per_turn=2)
    environment = Environment(
        prompt=plain.prompt, codec=world.codec, images=world.images, tools=[MarkPoints()],
        limits=plain.limits,
    )  # fmt: skip
    calls = [ToolCall("mark_points", {"points": [[x, 20]]}) for x in (50, 80)]
    turn = play(environment, world, render_tool_turn("Mark both.", *calls), ANSWER).turns[0]
    assert [sum(isinstance(one, Dot) for one in view.marks) for view in turn.views] == [1, 2]
    record = TraceRecord(
        world.task(), Trace((Step("Mark both.", *calls[:1], tuple(calls[1:])), Step("b")), "red")
    )
    traced = trace_rollout(
        record, prompt=plain.prompt, codec=world.codec, images=world.images,
        tools=environment.tools, max_calls=2,
    )  # fmt: skip
    assert traced.turns[0].views == turn.views


def test_of_several_calls_one_fails_in_its_place(world: World) -> None:
    text = render_tool_turn("Look.", NEAR, OFF, FAR)
    environment = world.environment(max_calls_per_turn=3, max_images=8)
    turn = play(environment, world, text, ANSWER).turns[0]
    first, failed, last = turn.observation.partition("The point (500, 90) is outside")
    assert (first.count("<image>"), bool(failed), last.count("<image>")) == (1, True, 1)
    assert turn.tool_error.startswith(failed)


def test_pictures_of_one_turn_share_the_room_for_them(world: World) -> None:
    environment = world.environment(max_calls_per_turn=3, max_images=3)
    dialog = environment.start(world.task(), group="g", index=0, seed=1)
    text = render_tool_turn("Look.", NEAR, FAR, NEAR)
    reply(dialog, world.codec.completion_ids(text))
    turn = dialog.turns[0]
    assert (len(turn.views), turn.tool_error) == (
        2, "The reply has 1 pictures; there is room for 0."
    )  # fmt: skip


def test_more_calls_than_a_turn_may_make_are_not_carried_out(world: World) -> None:
    turn = play(world.environment(), world, TWO_LOOKS, ANSWER).turns[0]
    assert turn.tool_error == "The turn makes 2 tool calls; it may make 1."
    assert turn.observation == observation_text((turn.tool_error,))
    record = TraceRecord(world.task(), Trace((Step("a", NEAR, (FAR,)), Step("b")), "red"))
    with pytest.raises(DataError, match=r"makes 2 tool calls, more than limits\.max_calls"):
        encode_trace(
            record, prompt=Prompt(""), codec=world.codec, images=world.images,
            tools={"search_coordinate": world.zoom()},
        )  # fmt: skip


def test_the_policys_own_words_are_never_echoed(world: World) -> None:
    call = '{"name": "<image> <|im_end|> <|image_pad|>", "arguments": {}}'
    rollout = play(
        world.environment(), world, f"<think> a </think>\n<tool_call>\n{call}\n</tool_call>", ANSWER
    )
    assert "image" not in rollout.turns[0].observation
    assert rollout.token_ids.count(world.codec.image_id) == 1


def test_a_turn_without_an_action_ends_the_dialog(world: World) -> None:
    rollout = play(world.environment(), world, "<think> hm </think>")
    assert rollout.stop_reason is StopReason.NO_ACTION


def test_a_turn_cut_by_the_limit_ends_without_an_observation(world: World) -> None:
    dialog = world.environment(max_new_tokens=5).start(world.task(), group="g", index=0, seed=1)
    reply(dialog, world.codec.completion_ids(ZOOM)[:5], is_finished=False)
    rollout = dialog.rollout()
    assert rollout.stop_reason is StopReason.TURN_LENGTH
    assert rollout.turns[0].observation_ids == ()
    assert rollout.loss_mask[-5:] == (1,) * 5


def test_the_forced_answer_is_not_in_the_loss_mask(world: World) -> None:
    environment = world.environment(max_turns=2, forced_answer=True)
    dialog = environment.start(world.task(), group="g", index=0, seed=1)
    assert dialog.next_request().prompt_ids[-1] != world.codec.prefix_ids(FORCED_ANSWER_PREFIX)[-1]
    reply(dialog, world.codec.completion_ids(ZOOM))
    forced = tuple(world.codec.prefix_ids(FORCED_ANSWER_PREFIX))
    assert dialog.next_request().prompt_ids[-len(forced) :] == forced
    tail = world.codec.completion_ids(" red </answer>")
    reply(dialog, tail)
    rollout = dialog.rollout()
    assert rollout.turns[1].prefix_ids == forced
    assert rollout.answer == "red"
    assert rollout.turns[1].parsed.problem is None
    assert rollout.token_ids[-len(tail) - len(forced) :] == (*forced, *tail)
    assert rollout.loss_mask[-len(tail) - len(forced) :] == (0,) * len(forced) + (1,) * len(tail)


@pytest.mark.parametrize("limit", [{"max_turns": 2}, {"max_images": 2}])
def test_a_call_in_the_last_turn_is_the_turn_limit(world: World, limit: dict[str, int]) -> None:
    rollout = play(world.environment(**limit), world, ZOOM, ZOOM_AGAIN)
    assert rollout.stop_reason is StopReason.TURN_LIMIT
    assert len(rollout.crops) == 1
    assert rollout.turns[1].observation_ids == ()


def test_an_error_does_not_use_up_an_image(world: World) -> None:
    rollout = play(world.environment(max_images=2), world, OFF_PICTURE, ZOOM, ANSWER)
    assert rollout.stop_reason is StopReason.ANSWERED


def test_no_room_for_the_observation_is_the_token_budget(world: World) -> None:
    zoom = len(world.codec.completion_ids(ZOOM))
    cost = len(world.codec.observation_ids(observation_parts(SHOWN))) - 1 + CROP_TOKENS
    exact = {"max_new_tokens": zoom, "max_response_tokens": zoom + cost}
    rollout = play(world.environment(**exact), world, ZOOM)
    assert rollout.stop_reason is StopReason.TOKEN_BUDGET
    assert (rollout.crops, rollout.turns[0].observation_ids) == ((), ())
    one_more = world.environment(**(exact | {"max_response_tokens": zoom + cost + 1}))
    dialog = one_more.start(world.task(), group="g", index=0, seed=1)
    reply(dialog, world.codec.completion_ids(ZOOM))
    assert dialog.next_request().sampling.max_new_tokens == 1
    reply(dialog, [world.codec.completion_ids(ANSWER)[0]], is_finished=False)
    assert dialog.rollout().stop_reason is StopReason.TOKEN_BUDGET


def test_no_room_for_another_crop_forces_the_answer(world: World) -> None:
    forced = world.codec.prefix_ids(FORCED_ANSWER_PREFIX)
    zoom = len(world.codec.completion_ids(ZOOM))
    cost = len(world.codec.observation_ids(observation_parts(SHOWN))) - 1 + CROP_TOKENS
    budget = 2 * (zoom + cost)  # two crops exactly, so nothing would be left for the answer
    environment = world.environment(
        max_new_tokens=zoom, max_response_tokens=budget, forced_answer=True
    )
    dialog = environment.start(world.task(), group="g", index=0, seed=1)
    reply(dialog, world.codec.completion_ids(ZOOM))
    assert dialog.next_request().prompt_ids[-len(forced) :] == tuple(forced)


def test_a_stop_string_without_the_end_token_is_ended_by_the_environment(world: World) -> None:
    dialog = world.environment().start(world.task(), group="g", index=0, seed=1)
    reply(dialog, world.codec.completion_ids(ZOOM)[:-1])
    reply(dialog, world.codec.completion_ids(ANSWER))
    rollout, whole = dialog.rollout(), play(world.environment(), world, ZOOM, ANSWER)
    assert rollout.token_ids == whole.token_ids
    assert sum(rollout.loss_mask) == sum(whole.loss_mask) - 1  # the end was not sampled


def test_what_an_engine_must_never_do(world: World) -> None:
    dialog = world.environment().start(world.task(), group="g", index=0, seed=1)
    with pytest.raises(EngineError, match="banned"):
        reply(dialog, [world.codec.image_id, world.codec.end_id])
    with pytest.raises(EngineError, match="after the end"):
        reply(dialog, [world.codec.end_id, 300])
    with pytest.raises(EngineError, match="waiting for g/0/1"):
        dialog.accept(Completion("g/1/1", (), (), is_finished=True))


def test_single_turn_needs_no_tools(world: World) -> None:
    environment = world.environment(tools=[], max_turns=1)
    assert play(environment, world, ANSWER).answer == "red"


@pytest.mark.parametrize(
    ("overrides", "key"),
    [
        ({"max_turns": 0}, "max_turns"),
        ({"max_new_tokens": 50, "max_response_tokens": 40}, "max_new_tokens"),
        ({"max_turns": 1, "forced_answer": True}, "forced_answer"),
        ({"tools": []}, "max_turns"),
        ({"max_turns": 1}, "tools"),
        ({"top_p": 0.0}, "top_p"),
    ],
)
def test_settings_without_effect_are_refused(
    world: World, overrides: dict[str, int], key: str
) -> None:
    with pytest.raises(ConfigError, match=key):
        world.environment(**overrides)


def test_seeds_are_the_same_on_every_machine() -> None:
    assert derive_seed(0, "train/3", "disc", 0, 1) == 8791330549474775618
    assert derive_seed("1", "2") != derive_seed("12") != derive_seed(12)


def test_each_turn_has_noise_of_its_own(world: World) -> None:
    dialog = world.environment().start(world.task(), group="g", index=0, seed=1)
    first = dialog.next_request()
    assert dialog.next_request() is first
    reply(dialog, world.codec.completion_ids(ZOOM))
    assert first.seed != dialog.next_request().seed


@pytest.mark.parametrize("num_zooms", [0, 1, 3])
def test_a_supervised_trace_has_the_tokens_of_its_rollout(world: World, num_zooms: int) -> None:
    zooms = [
        Step(f"Look {i}.", ToolCall(builders.TOOL_NAME, {"coordinate": [10 * i, 50]}))
        for i in range(num_zooms)
    ]
    trace = Trace((*zooms, Step("Seen.")), "red")
    environment = world.environment()
    rollout = play(environment, world, *trace.turns())
    dialog = {
        "prompt": environment.prompt, "codec": world.codec, "images": world.images,
        "tools": environment.tools,
    }  # fmt: skip
    sample = encode_trace(TraceRecord(world.task(), trace), **dialog)
    guest = trace_rollout(TraceRecord(world.task(), trace), **dialog)
    assert (guest.is_guest, guest.sampling_logprobs, rollout.is_guest) == (True, (), False)
    assert [(one.text, one.observation, one.focus) for one in guest.turns] == [
        (one.text, one.observation, one.focus) for one in rollout.turns
    ]
    assert sample.token_ids == rollout.token_ids
    assert sample.loss_mask == rollout.loss_mask
    assert sample.views == rollout.views


def test_forks_share_what_was_and_nothing_after(world: World) -> None:
    trunk = world.environment().start(world.task(), group="g", index=0, seed=1)
    reply(trunk, world.codec.completion_ids(ZOOM))
    forks = [trunk.fork(index=number, seed=number) for number in (1, 2)]
    texts = (ZOOM_AGAIN, ANSWER)
    for fork, text in zip(forks, texts, strict=True):
        reply(fork, world.codec.completion_ids(text))
    reply(forks[0], world.codec.completion_ids(ANSWER))
    long, short = (fork.rollout() for fork in forks)
    assert [turn.text for turn in long.turns] == [ZOOM, ZOOM_AGAIN, ANSWER]
    assert [turn.text for turn in short.turns] == [ZOOM, ANSWER]
    assert (len(long.views), len(short.views), len(trunk.turns)) == (3, 2, 1)
    assert (long.index, short.index) == (1, 2)
    assert play(world.environment(), world, ZOOM, ANSWER).token_ids == short.token_ids


class Pen:
    """A tool that remembers: it draws dots on a canvas that stays, counts them, or ends it all."""

    name = "pen"
    spec = ToolSpec((Argument("do", ArgumentKind.TEXT),), "a stroke", "the canvas so far")

    def __init__(self, dots: tuple[Dot, ...] = ()) -> None:
        self.dots = dots

    def open(self, task: TaskRecord) -> "Pen":
        return Pen()

    def fork(self) -> "Pen":
        return Pen(self.dots)

    def call(self, arguments: Mapping[str, object], *, scene: Scene) -> Observation:
        if arguments["do"] == "count":
            return Observation((f"{len(self.dots)} dots",))
        if arguments["do"] == "end":
            return Observation(("done",), is_done=True)
        self.dots += (Dot(Point(40 * len(self.dots), 40)),)
        drawn = scene.first.edited(*self.dots)
        before = [scene[len(scene.views) - 1], "before, and now"]
        return Observation((*before, drawn), Region(self.dots[-1].point))


def stroke(do: str) -> str:
    return render_tool_turn("A place.", ToolCall("pen", {"do": do}))


def test_a_tool_may_show_several_pictures_or_none_and_end_the_dialog(world: World) -> None:
    environment = world.environment(tools=[Pen()], max_images=6, max_turns=5)
    texts = (stroke("draw"), stroke("draw"), stroke("count"), stroke("end"))
    rollout = play(environment, world, *texts)
    drawn, again, counted, ended = rollout.turns
    assert rollout.stop_reason is StopReason.TOOL_DONE
    assert [len(turn.views) for turn in rollout.turns] == [2, 2, 0, 0]
    assert drawn.observation == observation_text(
        (drawn.views[0], "before, and now", drawn.views[1])
    )
    assert again.views[0] == drawn.views[1]  # the last picture of the scene
    assert rollout.prompt_views[0].edited(Dot(Point(0, 40)), Dot(Point(40, 40))) == again.views[1]
    assert (counted.observation, counted.focus) == (observation_text(("2 dots",)), None)
    assert (ended.observation, ended.observation_ids) == ("", ())
    assert rollout.token_ids.count(world.codec.image_id) == len(rollout.views) == 5
    assert (rollout.crops, rollout.num_tool_errors) == ((), 0)  # no part of a picture was shown
    assert [look.point for look in rollout.looks] == [Point(0, 40), Point(40, 40)]


def test_more_pictures_than_there_is_room_for_are_refused(world: World) -> None:
    rollout = play(world.environment(tools=[Pen()], max_images=2), world, stroke("draw"), ANSWER)
    assert rollout.turns[0].tool_error == "The reply has 2 pictures; there is room for 1."
    assert rollout.views == rollout.prompt_views


def test_what_a_tool_remembers_forks_with_the_dialog(world: World) -> None:
    trunk = world.environment(tools=[Pen()], max_images=9, max_turns=6).start(
        world.task(), group="g", index=0, seed=1
    )
    reply(trunk, world.codec.completion_ids(stroke("draw")))
    fork = trunk.fork(index=1, seed=2)
    reply(fork, world.codec.completion_ids(stroke("draw")))
    for dialog, num_dots in ((trunk, 1), (fork, 2)):
        reply(dialog, world.codec.completion_ids(stroke("count")))
        assert f"{num_dots} dots" in dialog.turns[-1].observation


def test_forks_have_noise_and_names_of_their_own(world: World) -> None:
    trunk = world.environment().start(world.task(), group="g", index=0, seed=1)
    asked = [trunk.fork(index=i, seed=i).next_request() for i in (1, 2)]
    assert len({request.id for request in asked}) == len({r.seed for r in asked}) == 2
    assert asked[0].prompt_ids == asked[1].prompt_ids
    trunk.next_request()
    with pytest.raises(RuntimeError, match="cannot be forked now"):
        trunk.fork(index=3, seed=3)
    reply(trunk, world.codec.completion_ids(ANSWER))
    with pytest.raises(RuntimeError, match="cannot be forked now"):
        trunk.fork(index=3, seed=3)


def test_a_thought_alone_is_answered_where_thoughts_are_asked_for_one_by_one(
    world: World,
) -> None:
    thought = "<think> Something is at (50, 20). </think>"
    asked = world.environment(tools=[], step_reply="Go on.")
    rollout = play(asked, world, thought, thought, ANSWER)
    assert [turn.observation for turn in rollout.turns] == ["Go on.", "Go on.", ""]
    assert {turn.tool_error for turn in rollout.turns} == {""}
    assert (rollout.stop_reason, rollout.answer) == (StopReason.ANSWERED, "red")
    assert sum(rollout.loss_mask) == sum(len(turn.completion_ids) for turn in rollout.turns)
    assert play(asked, world, "no thought").stop_reason is StopReason.NO_ACTION
    assert play(world.environment(), world, thought).stop_reason is StopReason.NO_ACTION


def test_some_of_a_group_see_noise_and_so_do_their_crops(world: World) -> None:
    plain = world.environment()
    branch = NoisyBranch(keep=0.9, sigma=0.1, frac=0.5)
    environment = plain.exploring(temperature=0.5, noise=branch)
    first, second = environment.start_group(world.task(), group="g", seeds=[1, 2])
    assert (first.image.is_noisy, second.image.is_noisy) == (False, True)
    reply(second, world.codec.completion_ids(ZOOM))
    (crop,) = second.turns[0].views
    assert crop.is_noisy
    assert crop.without_noise == play(plain, world, ZOOM, ANSWER).crops[0]
    request = second.next_request()
    assert request.sampling.temperature == 0.5
    assert request.seed == derive_seed(2, 2)  # as without noise
    assert not plain.start(world.task(), group="g", index=0, seed=2).image.is_noisy


def test_noise_is_kept_in_the_record(world: World) -> None:
    marked = world.environment().start(world.task(), group="g", index=0, seed=1).image
    noisy = marked.edited(GaussianNoise(0.5, 0.25, 7))
    rollout = builders.rollout(prompt_views=(noisy,))
    line = rollout_to_json(ScoredRollout(rollout, RewardBreakdown(0.0)), phase="", run_seed=0)
    assert rollout_from_json(line).scored.rollout.prompt_views == (noisy,)


def test_a_dialog_that_is_taken_up_again_has_tools_that_remember(world: World) -> None:
    environment = world.environment(tools=[Pen()], max_images=6, max_turns=6)
    before = play(environment, world, stroke("draw"), stroke("draw"), ANSWER)
    dialog = environment.start(world.task(), group="again", index=0, seed=1)
    dialog.restore(before.turns[:2], is_last=False)
    reply(dialog, world.codec.completion_ids(stroke("count")))
    assert dialog.turns[-1].observation == observation_text(("2 dots",))


def test_a_picture_that_no_model_can_be_shown_is_an_error_of_the_call(world: World) -> None:
    strip = ImageView(Stored("a", "a.png"), Size(40_000, 100), Size(40_000, 100))
    with pytest.raises(ToolError, match="too long and narrow"):
        world.environment().fitted(Observation((strip,)), num_shown=1)
