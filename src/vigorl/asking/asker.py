"""A policy that answers questions about pictures, one turn after the other.

asker = Asker("mine", SharedEngine(engine), environment)
talk = asker.open(ask_picture("street.png", "What does the sign say?"))
for text in talk.go_on():          # the coming turn as it is written; "" when one is done
    print(talk.turns, text)
talk.look_at(Point(830, 212))      # ORIGINAL pixels: you look there ...
list(talk.go_on())                 # ... and it goes on from what is seen
asker.answers(task, num=8)         # rollouts of one question, sampled together
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from queue import SimpleQueue
from threading import Lock
from uuid import uuid4

from vigorl.asking.shared_engine import Failed, Reply, Sampled, SharedEngine
from vigorl.core.errors import ConfigError, DataError, RefusalError
from vigorl.core.geometry import Point, Size
from vigorl.core.media import ImageView
from vigorl.core.protocols import Completion, Looking
from vigorl.core.records import TaskRecord, TraceRecord
from vigorl.core.rollout import Rollout, StopReason, Turn
from vigorl.core.scoring.text import normalize_answer
from vigorl.core.trace import (
    POINT_PATTERN,
    ToolCall,
    find_points,
    join_turns,
    render_point,
    render_tool_turn,
)
from vigorl.data.images import ImageStore, open_image, read_size
from vigorl.rollout.dialog import Dialog
from vigorl.rollout.environment import Environment
from vigorl.rollout.inference.rule import InferenceRule
from vigorl.rollout.seeds import derive_seed

_SENTENCE_ENDS = re.compile(r"(?<=[.!?])\s+")
MAX_PIXELS = 50_000_000  # of a picture that somebody brings: decoded in seconds, 200 MB


def check_picture(path: str | Path, *, max_pixels: int = MAX_PIXELS) -> Size:
    """The size of a picture that can be asked about, upright; it is decoded once.

    Raises:
        DataError: It is no picture, damaged, or larger than `max_pixels`.
    """
    size = read_size(path)
    if size.width * size.height > max_pixels:
        pixels = f"{size.width}x{size.height} is more than {max_pixels / 1e6:.0f} million pixels"
        raise DataError(f"{pixels}: make it smaller", path=path)
    open_image(path)
    return size


def ask_picture(
    path: str | Path,
    question: str,
    *,
    more: Sequence[str | Path] = (),
    options: Sequence[str] = (),
    id: str = "",
) -> TaskRecord:
    """A question of one's own, whose right answer nobody knows.

    Args:
        path: A picture that `check_picture` has seen.
        question: Not empty.
        more: Further pictures, behind the first.
        options: Texts to choose from; none for an open question.
        id: None makes a new one.
    Raises:
        DataError: The question is empty.
    """
    if not question.strip():
        raise DataError("the question is empty: ask something about the picture")
    kept = tuple(option.strip() for option in options if option.strip())
    return TaskRecord(
        id=id or f"asked/{uuid4().hex[:12]}",
        question=question.strip(),
        answer="",
        images=(str(path), *map(str, more)),
        options=kept,
        source=str(path),
    )


def confidence(turn: Turn) -> float | None:
    """Mean probability of a turn's sampled tokens, in (0, 1]; None of a turn that a person wrote,
    or whose engine knows none.
    """
    logprobs = turn.sampling_logprobs
    return sum(map(math.exp, logprobs)) / len(logprobs) if logprobs else None


def is_own_look(turn: Turn) -> bool:
    """Whether a person wrote it (`Talk.look_at`)."""
    return bool(turn.prefix_ids) and not turn.sampling_logprobs and bool(turn.views)


def votes(rollouts: Sequence[Rollout]) -> list[tuple[str | None, int]]:
    """Answers and how often each was given, the most frequent first; None is no answer. Answers
    that differ in case, marks or white space count as the first of them.
    """
    first: dict[str | None, str | None] = {}
    counts: Counter[str | None] = Counter()
    for rollout in rollouts:
        answer = rollout.answer
        key = None if answer is None else normalize_answer(answer)
        counts[first.setdefault(key, answer)] += 1
    return counts.most_common()


@dataclass(frozen=True, slots=True)
class Asker:
    """A policy and how it is asked; several threads may ask it at once.

    Attributes:
        name: What a person calls it.
        engine: Samples its turns.
        environment: Prompt, tools, limits and temperature of its dialogs.
        rule: How an answer is made of what is sampled; None: a dialog is an answer.
    """

    name: str
    engine: SharedEngine
    environment: Environment
    rule: InferenceRule | None = None

    @property
    def images(self) -> ImageStore:
        return self.environment.images

    def open(self, task: TaskRecord, *, seed: int = 0, is_greedy: bool = True) -> Talk:
        """A dialog to watch and to take part in.

        Raises:
            DataError: The picture cannot be shown, or its slots in the question are not one.
        """
        environment = self.environment.greedy() if is_greedy else self.environment
        environment = environment if self.rule is None else self.rule.sampled(environment)
        return Talk(self, opened(environment, task, [seed])[0])

    def answers(self, task: TaskRecord, *, num: int, seed: int = 0) -> list[Rollout]:
        """Rollouts of one question, sampled at the environment's temperature.

        Raises:
            ConfigError: The temperature is 0, so all would be the same.
            EngineError: The engine failed.
        """
        if num > 1 and self.environment.temperature == 0:
            raise ConfigError("env.temperature=0 gives the same answer each time: set it above 0")
        seeds = [derive_seed(seed, "asked", i) for i in range(num)]
        dialogs = opened(self.environment, task, seeds)
        for _ in self.run(dialogs):
            pass
        version = self.engine.policy_version
        return [dialog.rollout(policy_version=version) for dialog in dialogs]

    @property
    def decides(self) -> bool:
        """Whether an answer is chosen among several, and so cannot be watched."""
        return self.rule is not None and self.rule.num_candidates > 1

    def run(
        self, dialogs: Sequence[Dialog], *, num_turns: int | None = None
    ) -> Iterator[Sampled | Dialog]:
        """Take turns until all dialogs are done, or have had `num_turns` more; yields each token
        that the engine streams, and each dialog whose turn has come.

        Raises:
            EngineError: The engine failed, or is gone.
        """
        replies: SimpleQueue[Reply] = SimpleQueue()
        left = {id(dialog): num_turns for dialog in dialogs}
        waiting: dict[str, Dialog] = {}

        def ask(dialog: Dialog) -> None:
            more = left[id(dialog)]
            if dialog.is_done or (more == 0 and not dialog.is_being_checked):
                return
            if more and not dialog.is_being_checked:
                left[id(dialog)] = more - 1
            request = dialog.next_request()
            waiting[request.id] = dialog
            self.engine.submit(request, replies)

        for dialog in dialogs:
            ask(dialog)
        while waiting:
            reply = replies.get()
            if isinstance(reply, Sampled):
                yield reply
                continue
            dialog = waiting.pop(reply.request_id)
            num_before = len(dialog.turns)
            _take(dialog, reply)
            ask(dialog)
            if len(dialog.turns) > num_before:
                yield dialog


def opened(environment: Environment, task: TaskRecord, seeds: Sequence[int]) -> list[Dialog]:
    """A dialog per seed on a question, under a name that nobody else in the engine has.

    Raises:
        ConfigError: The limits have no room for the question's pictures and a look.
        DataError: A picture cannot be shown, or its slots in the question are not one each.
    """
    return environment.start_group(task, group=f"asked/{uuid4().hex[:12]}", seeds=seeds)


def _take(dialog: Dialog, reply: Completion | Failed) -> None:
    if isinstance(reply, Completion):
        dialog.accept(reply)
    elif isinstance(reply.error, RefusalError):
        dialog.refuse()
    else:
        raise reply.error


class Talk:
    """One dialog that a person watches and may take part in; one caller at a time.

    Attributes:
        asker: Who answers.
    """

    def __init__(self, asker: Asker, dialog: Dialog) -> None:
        self.asker, self._dialog = asker, dialog
        self._before: list[Dialog] = []  # as it was before each turn
        self._resting: Dialog | None = None  # likewise, while a turn is being written
        self._busy = Lock()

    @property
    def task(self) -> TaskRecord:
        return self._dialog.task

    @property
    def image(self) -> ImageView:
        """The whole picture."""
        return self._dialog.image

    @property
    def turns(self) -> tuple[Turn, ...]:
        """Those that are done."""
        return self._dialog.turns

    @property
    def is_done(self) -> bool:
        return self._dialog.is_done

    @property
    def stop_reason(self) -> StopReason | None:
        """None while it goes on."""
        return self._dialog.stop_reason

    @property
    def answer(self) -> str | None:
        return self.turns[-1].parsed.answer if self.turns else None

    @property
    def rollout(self) -> Rollout:
        """What happened.

        Raises:
            RuntimeError: It is not done.
        """
        return self._dialog.rollout(policy_version=self.asker.engine.policy_version)

    @property
    def so_far(self) -> Rollout | None:
        """What happened, as if it were stopped now; None before the first turn."""
        if self.is_done:
            return self.rollout
        dialog = self._resting or self._dialog
        if not dialog.turns:
            return None
        copy = dialog.fork(index=dialog.index, seed=dialog.seed)
        copy.stop_reason = StopReason.TURN_LIMIT
        return copy.rollout(policy_version=self.asker.engine.policy_version)

    def go_on(self, *, num_turns: int | None = None) -> Generator[str, None, None]:
        """Let the policy take turns until it is done, or `num_turns` of them. Yields the text of
        the coming turn as it grows, and "" when `turns` has one more.

        One that is given up in the middle of a turn stands before that turn.

        Raises:
            ConfigError: Somebody else is at it.
            EngineError: The engine failed; it stands before the turn.
        """
        if not self._busy.acquire(blocking=False):
            raise ConfigError("this dialog is being answered: wait for its end")
        num_done = len(self.turns)
        is_over = self.is_done or num_turns == 0
        try:
            while not is_over:
                yield from self._turn()
                is_over = self.is_done or len(self.turns) - num_done == num_turns
                if not is_over:
                    yield ""
        finally:
            self._busy.release()
        if len(self.turns) > num_done:
            yield ""  # whoever hears of the last turn may look somewhere at once

    def _turn(self) -> Generator[str, None, None]:
        # an index of its own: the engine may still be at a turn that was given up
        before = self._dialog.fork(index=self._dialog.index + 1, seed=self._dialog.seed)
        ids: list[int] = []
        aside = f"{self._dialog.group}/aside/"  # what a rule asks is no turn
        is_whole = False
        self._resting = before
        try:
            for said in self.asker.run([self._dialog], num_turns=1):
                if isinstance(said, Sampled) and not said.request_id.startswith(aside):
                    ids.append(said.token_id)
                    yield self.asker.environment.codec.decode(ids)
            is_whole = True
        finally:
            if not is_whole:
                self._dialog = before
            self._resting = None
        self._before.append(before)

    def look_at(self, point: Point) -> Turn:
        """Look somewhere in the policy's place, as its next turn; of a dialog that is done, in
        place of its last. What follows is the policy's.

        Args:
            point: ORIGINAL pixels of the picture.
        Raises:
            ConfigError: It has no tool that looks, no room for a further turn, or is being
                answered.
            DataError: The point is off the picture.
        """
        tools = self.asker.environment.tools.values()
        tool = next((tool for tool in tools if isinstance(tool, Looking)), None)
        if tool is None:
            raise ConfigError("there is nothing to look with: choose an env with a zoom")
        if not point.is_inside(self.image.original):
            raise DataError(f"({point.x:.0f}, {point.y:.0f}) is outside of the picture")
        if not self._busy.acquire(blocking=False):
            raise ConfigError("this dialog is being answered: wait for its end")
        try:
            if self.is_done and not self._before:
                raise ConfigError("this answer was chosen by a rule: leave out inference to look")
            start = self._before[-1] if self.is_done else self._dialog
            if start.is_last_turn:
                raise ConfigError(
                    f"no room for another look: {len(start.turns)} turns of "
                    f"limits.max_turns={self.asker.environment.limits.max_turns} are taken"
                )
            before = start.fork(index=self._dialog.index + 1, seed=start.seed)
            dialog = before.fork(index=before.index + 1, seed=start.seed)
            arguments = tool.arguments_at(point, image=self.image)
            words = self._words_of_look(self.image.to_text(point))
            dialog.take(render_tool_turn(words, ToolCall(tool.name, arguments)))
            self._before = [*self._before[: len(start.turns)], before]
            self._dialog = dialog
        finally:
            self._busy.release()
        return dialog.turns[-1]

    def _words_of_look(self, place: Point) -> str:
        """What the policy said of its last place, said of another: it goes on best from its own
        words. Plain ones where it has named none.
        """
        for turn in reversed(self.turns):
            for sentence in _SENTENCE_ENDS.split(turn.parsed.think):
                if turn.focus is not None and len(find_points(sentence)) == 1:
                    return POINT_PATTERN.sub(render_point(place), sentence)
        return f"Look at {render_point(place)}."

    def trace(self, *, answer: str | None = None) -> TraceRecord:
        """The dialog as a worked solution to learn from.

        Args:
            answer: The right one, in place of the policy's.
        Raises:
            DataError: It has no answer, or a turn does not follow the grammar.
        """
        parsed = [turn.parsed for turn in self.turns]
        if not parsed or parsed[-1].answer is None:
            raise DataError("there is no answer yet: a record needs one; let it go on")
        right = (answer or "").strip() or parsed[-1].answer
        try:
            trace = replace(join_turns(parsed), answer=right)
        except ValueError as error:
            raise DataError(f"the dialog does not follow the grammar, {error}") from error
        options = self.task.options
        if options and right not in options:
            raise DataError(f"the answer {right!r} is none of the options {list(options)}")
        task = replace(self.task, answer=right)
        return TraceRecord(task, trace, frame=self.image.text_size)
