"""A dialog that a person watches and takes part in."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from pathlib import Path
from queue import SimpleQueue
from threading import Event

import pytest
from PIL import Image

from tests import builders
from tests.unit.rollout.world import ANSWER, ZOOM, World, world
from vigorl.asking.asker import (
    Asker,
    Talk,
    ask_picture,
    check_picture,
    confidence,
    votes,
)
from vigorl.asking.deciding import decide
from vigorl.asking.saved import SavedDialogs
from vigorl.asking.shared_engine import Failed, Reply, SharedEngine
from vigorl.core.errors import ConfigError, DataError, EngineError
from vigorl.core.geometry import Point, Size
from vigorl.core.protocols import Completion, GenerationRequest
from vigorl.core.rollout import StopReason
from vigorl.data.images import read_size
from vigorl.data.splits import DataSplits, ReleasedFiles
from vigorl.rollout.engines.hf import HFEngine
from vigorl.rollout.engines.scripted import ScriptedEngine
from vigorl.rollout.inference.majority import Majority
from vigorl.rollout.inference.rule import InferenceRule
from vigorl.rollout.inference.verifier import Verifier

__all__ = ["world"]
Script = Callable[[GenerationRequest], str]
THERE = Point(400, 40)


class Streams(ScriptedEngine):
    """Tells each token before the turn."""

    on_token: Callable[[str, int], None] | None = None

    def _complete(self, request: GenerationRequest) -> Completion:
        done = super()._complete(request)
        for token in done.token_ids:
            assert self.on_token is not None
            self.on_token(request.id, token)
        return done


def zoom_then_answer(request: GenerationRequest) -> str:
    return ANSWER if len(request.views) > 1 else ZOOM


@pytest.fixture
def make(world: World) -> Iterator[Callable[..., Asker]]:
    made: list[SharedEngine] = []

    def make(
        script: Script = zoom_then_answer, *, rule: InferenceRule | None = None, **settings: object
    ) -> Asker:
        made.append(SharedEngine(Streams(script, world.codec)))
        return Asker("mine", made[-1], world.environment(**settings), rule)

    yield make
    for engine in made:
        engine.close()


def opened(asker: Asker, world: World, **fields: object) -> Talk:
    task = ask_picture(world.picture, "The colour of the disc?", **fields)  # pyright: ignore
    return asker.open(task)


def test_a_turn_is_seen_as_it_is_written(make: Callable[..., Asker], world: World) -> None:
    talk = opened(make(), world)
    writing = talk.go_on(num_turns=1)
    said = [next(writing)]
    assert talk.so_far is None
    said += writing
    assert [turn.text for turn in talk.turns] == [ZOOM]
    assert said[-2:] == [ZOOM, ""]
    assert all(ZOOM.startswith(text) for text in said)
    assert talk.stop_reason is None
    writing = talk.go_on()
    next(writing)
    assert talk.so_far is not None
    assert talk.so_far.turns == talk.turns
    assert list(writing)[-2:] == [ANSWER, ""]
    assert (talk.answer, talk.stop_reason) == ("red", StopReason.ANSWERED)
    assert talk.rollout.score == 0.0  # of a question whose answer nobody knows
    assert not list(talk.go_on())


@pytest.mark.parametrize("num_turns", [1, None], ids=["before the end", "after it"])
def test_a_person_looks_and_it_goes_on(
    make: Callable[..., Asker], world: World, num_turns: int | None
) -> None:
    talk = opened(make(), world)
    list(talk.go_on(num_turns=num_turns))
    looked = talk.look_at(THERE)
    assert looked.focus is not None
    assert looked.focus.point == THERE
    assert confidence(looked) is None
    assert not talk.is_done
    list(talk.go_on())
    assert [turn.text for turn in talk.turns] == [
        ZOOM,
        builders.call_text(100, 10),  # in the words of the look before
        ANSWER,
    ]
    assert [turn.completion_ids for turn in talk.turns][1] == (world.codec.end_id,)


def test_looks_end_where_the_limits_do(make: Callable[..., Asker], world: World) -> None:
    talk = opened(make(max_turns=3), world)
    talk.look_at(THERE)
    talk.look_at(THERE)
    with pytest.raises(ConfigError, match=r"2 turns of limits.max_turns=3 are taken"):
        talk.look_at(THERE)
    with pytest.raises(DataError, match="outside of the picture"):
        talk.look_at(Point(448, 0))
    list(talk.go_on())
    assert talk.is_done
    blind = opened(make(tools=[], max_turns=1), world)
    with pytest.raises(ConfigError, match="nothing to look with"):
        blind.look_at(THERE)


def test_a_turn_that_is_given_up_leaves_no_trace(make: Callable[..., Asker], world: World) -> None:
    talk = opened(make(), world)
    left = talk.go_on()
    next(left)
    with pytest.raises(ConfigError, match="being answered"):
        next(talk.go_on())
    left.close()
    assert talk.turns == ()
    list(talk.go_on())
    assert talk.answer == "red"


def test_an_engine_that_fails_fails_its_question_alone(
    make: Callable[..., Asker], world: World
) -> None:
    def script(request: GenerationRequest) -> str:
        if "bad" in asker_text(request):
            raise EngineError("no memory")
        return zoom_then_answer(request)

    def asker_text(request: GenerationRequest) -> str:
        return world.codec.decode(request.prompt_ids)

    asker = make(script)
    with pytest.raises(EngineError, match="no memory"):
        list(asker.open(ask_picture(world.picture, "bad")).go_on())
    good = asker.open(ask_picture(world.picture, "good"))
    list(good.go_on())
    assert good.answer == "red"


def test_votes_are_counted_by_what_answers_mean(make: Callable[..., Asker], world: World) -> None:
    said = ["red", "Red.", "blue", "red"]

    def script(request: GenerationRequest) -> str:
        index = int(request.id.split("/")[-2])
        return builders.render_answer_turn("It is.", said[index])

    rollouts = make(script).answers(ask_picture(world.picture, "What colour?"), num=4)
    assert votes(rollouts) == [("red", 3), ("blue", 1)]
    with pytest.raises(ConfigError, match="temperature=0"):
        make(temperature=0.0).answers(ask_picture(world.picture, "What?"), num=2)


def test_a_saved_dialog_trains(make: Callable[..., Asker], world: World, tmp_path: Path) -> None:
    talk = opened(make(), world, options=("red", "blue"))
    with pytest.raises(DataError, match="there is no answer yet"):
        talk.trace()
    list(talk.go_on(num_turns=1))
    talk.look_at(THERE)
    list(talk.go_on())
    with pytest.raises(DataError, match="none of the options"):
        talk.trace(answer="green")
    saved = SavedDialogs(tmp_path / "kept")
    assert saved.add(talk.trace(answer="blue")) == 1
    assert saved.add(talk.trace()) == 1  # the same dialog again
    other = opened(make(), world)
    list(other.go_on())
    assert saved.add(other.trace()) == 2
    found: DataSplits = ReleasedFiles(traces=str(saved.path), holdout_frac=0.0).load()
    first, second = found.train_traces
    assert first.trace == talk.trace().trace
    assert first.frame == talk.image.text_size
    assert (first.task.question, first.task.options) == (talk.task.question, ("red", "blue"))
    assert second.task.answer == "red"
    assert read_size(first.task.images[0]) == Size(448, 448)


def test_a_real_engine_streams_what_it_samples(world: World) -> None:
    engine = SharedEngine(HFEngine(world.model(), world.codec, world.images))
    asker = Asker("tiny", engine, world.environment(max_new_tokens=5))
    talk = opened(asker, world)
    said = list(talk.go_on())
    engine.close()
    assert said[-2:] == [talk.turns[0].text, ""]
    assert len(said) == len(talk.turns[0].completion_ids) + 1
    sure = confidence(talk.turns[0])
    assert sure == pytest.approx(
        sum(map(math.exp, talk.turns[0].sampling_logprobs)) / len(said[:-1])
    )
    with pytest.raises(EngineError, match="has ended"):
        list(opened(asker, world).go_on())


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"", "empty"), (b"no picture", "not a picture"), (None, "more than 0 million")],
)
def test_pictures_that_cannot_be_asked_about(
    tmp_path: Path, content: bytes | None, message: str
) -> None:
    path = tmp_path / "a.png"
    if content is None:
        Image.new("RGB", (9, 9)).save(path)
    else:
        path.write_bytes(content)
    with pytest.raises(DataError, match=message):
        check_picture(path, max_pixels=80)
    with pytest.raises(DataError, match="the question is empty"):
        ask_picture(path, " \n")


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_who_asks_while_the_engine_breaks_is_told(world: World) -> None:
    begun, may_break = Event(), Event()

    def breaks(request: GenerationRequest) -> str:
        begun.set()
        may_break.wait(timeout=10)
        raise RuntimeError("a fault of the program")

    engine = SharedEngine(Streams(breaks, world.codec))
    asker = Asker("mine", engine, world.environment())
    dialogs = [opened(asker, world)._dialog for _ in range(2)]
    replies: SimpleQueue[Reply] = SimpleQueue()
    engine.submit(dialogs[0].next_request(), replies)
    begun.wait(timeout=10)
    engine.submit(dialogs[1].next_request(), replies)
    may_break.set()
    assert [type(replies.get(timeout=10)) for _ in dialogs] == [Failed, Failed]
    engine._thread.join(timeout=10)  # its fault is this test's, not the next one's
    assert engine.has_ended
    with pytest.raises(EngineError, match="has ended"):
        list(opened(asker, world).go_on())


class LosesPictures(ScriptedEngine):
    """Reads the pictures of two requests at once, of which one is gone, and forgets both."""

    has_failed = False

    def poll(self) -> list[Completion]:
        if self.has_failed:
            return super().poll()
        if len(self._in_flight) < 2:
            return []
        self.has_failed = True
        first = next(iter(self._in_flight.values()))[0]
        self._in_flight.clear()
        raise DataError("there is no such picture file", path=first.views[0].path)


def test_a_picture_that_cannot_be_read_fails_its_question_alone(
    world: World, tmp_path: Path
) -> None:
    engine = SharedEngine(LosesPictures(lambda _: ANSWER, world.codec))
    asker, replies = Asker("mine", engine, world.environment()), SimpleQueue[Reply]()
    other = tmp_path / "other.png"
    Image.open(world.picture).save(other)
    for path in (world.picture, other):
        task = ask_picture(path, "The colour of the disc?")
        engine.submit(asker.open(task)._dialog.next_request(), replies)
    assert [type(replies.get(timeout=10)) for _ in range(2)] == [Failed, Completion]
    engine.close()


def test_what_a_rule_asks_aside_is_no_turn_of_a_talk(
    make: Callable[..., Asker], world: World
) -> None:
    def script(request: GenerationRequest) -> str:
        if "/aside/" in request.id:
            return " blue </answer>"
        return zoom_then_answer(request)

    talk = opened(make(script, rule=Verifier(enough=None, eps=0.0)), world)
    heard = list(talk.go_on())
    assert [turn.text for turn in talk.turns] == [ZOOM, ANSWER]
    assert not any("blue" in text for text in heard)
    assert heard.count("") == 2
    talk.look_at(THERE)
    list(talk.go_on())
    assert len(talk.turns) == 3


def test_what_a_rule_chose_is_not_gone_on_with(make: Callable[..., Asker], world: World) -> None:
    asker = make(zoom_then_answer, rule=Majority(num_answers=2))
    found = decide(asker, ask_picture(world.picture, "The colour of the disc?"))
    assert (found.talk.answer, found.saw, len(found.candidates)) == ("red", '"red" 2', 2)
    with pytest.raises(ConfigError, match="leave out inference to look"):
        found.talk.look_at(THERE)
