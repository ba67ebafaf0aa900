"""The dialog between a policy and a picture, turn by turn, without an engine.

    dialog = environment.start(task, group="train/0/scene-7", index=0, seed=11)
    while not dialog.is_done:
        dialog.accept(completion_of(dialog.next_request()))
    rollout = dialog.rollout(policy_version=3)

What ends or continues a dialog after a turn, first match wins:

    cut by the tokens-per-turn limit                    TURN_LENGTH
    cut because the token budget shortened the turn     TOKEN_BUDGET
    holds an answer                                     ANSWERED
    neither an answer nor the start of a tool call      NO_ACTION, unless thoughts are asked for one
                                                        by one (`step_reply`)
    was the last by max_turns or max_images             TURN_LIMIT
    was the last because no further crop would fit      TOKEN_BUDGET
    the observation leaves no room for another turn     TOKEN_BUDGET
    calls a tool that ends the dialog                   TOOL_DONE
    calls a tool                                        its reply or an error, then a next turn
    was never given, because the model would not        REFUSED

A call that cannot be read, names no tool, or points off the picture gets an error observation and
costs a turn. Observations never repeat the policy's own text, which could hold chat tokens.
"""

from __future__ import annotations

import copy
import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from vigorl.core.errors import ConfigError, EngineError
from vigorl.core.media import ImageView
from vigorl.core.protocols import (
    Completion,
    GenerationRequest,
    Observation,
    SamplingParams,
    Scene,
    Tool,
    ToolError,
)
from vigorl.core.records import TaskRecord
from vigorl.core.rollout import Rollout, StopReason, Turn
from vigorl.core.trace import (
    FORCED_ANSWER_PREFIX,
    TOOL_CALL,
    ParsedTurn,
    observation_parts,
    text_of,
)
from vigorl.rollout.limits import RolloutLimits
from vigorl.rollout.seeds import derive_seed

if TYPE_CHECKING:
    from vigorl.data.encoding import ChatCodec
    from vigorl.data.images import ImageStore
    from vigorl.data.prompts import Prompt
    from vigorl.rollout.exploration import NoisyBranch


class Environment:
    """What all dialogs of a run share; `start` opens one.

    Args:
        prompt: Writes a task as chat messages.
        codec: Turns messages and texts into ids and back.
        images: Sizes and counts pictures.
        tools: What the policy may call; none for single-turn reasoning.
        limits: How far a dialog may go.
        temperature: Of the sampling; 0 is greedy.
        top_p: Nucleus mass in (0, 1].
        step_reply: What a turn that only thinks is answered with, for teachers that think one step
            per reply; "" ends the dialog there.
    Raises:
        ConfigError: Settings that contradict each other or have no effect.
    """

    def __init__(
        self,
        *,
        prompt: Prompt,
        codec: ChatCodec,
        images: ImageStore,
        tools: Sequence[Tool] = (),
        limits: RolloutLimits,
        temperature: float = 1.0,
        top_p: float = 1.0,
        step_reply: str = "",
    ) -> None:
        if not (tools or step_reply) and limits.max_turns > 1:
            raise ConfigError(f"limits.max_turns={limits.max_turns} has no effect without tools")
        if tools and limits.max_turns == 1:
            raise ConfigError("tools have no effect with limits.max_turns=1")
        if temperature < 0 or not 0 < top_p <= 1:
            raise ConfigError(f"temperature={temperature} must be >= 0 and top_p={top_p} in (0, 1]")
        self.tools = {tool.name: tool for tool in tools}
        if len(self.tools) != len(tools):
            raise ConfigError(f"two tools share a name: {[tool.name for tool in tools]}")
        self.prompt, self.codec, self.images, self.limits = prompt, codec, images, limits
        self.temperature, self.top_p, self.step_reply = temperature, top_p, step_reply
        self.noise: NoisyBranch | None = None
        self.max_sampled_tokens: int | None = None
        self.banned_ids = frozenset(codec.banned_ids)
        self.forced_ids = (
            tuple(codec.prefix_ids(FORCED_ANSWER_PREFIX)) if limits.forced_answer else ()
        )

    def num_tokens(self, views: Sequence[ImageView]) -> int:
        """Tokens that the model reads for some pictures."""
        return sum(self.images.num_tokens(view) for view in views)

    def fitted(self, seen: Observation, *, num_shown: int) -> Observation:
        """A tool's reply with its pictures at sizes that the model can take.

        Raises:
            ToolError: More pictures than the dialog has room for.
        """
        room = self.limits.max_images - num_shown
        if len(seen.views) > room:
            raise ToolError(f"The reply has {len(seen.views)} pictures; there is room for {room}.")
        return seen.with_views(self.images.fit)

    def greedy(self) -> Environment:
        """The same, but each turn takes the most likely tokens."""
        other = copy.copy(self)
        other.temperature = 0.0
        return other

    def exploring(self, *, temperature: float, noise: NoisyBranch | None) -> Environment:
        """The same at another temperature, with some dialogs of each group under noise."""
        other = copy.copy(self)
        other.temperature, other.noise = temperature, noise
        return other

    def asked_for(
        self, *, temperature: float, top_p: float, max_sampled_tokens: int | None
    ) -> Environment:
        """The same as somebody asks for it: sampled otherwise, and with at most so many tokens of
        the policy's own in all of its turns.
        """
        other = copy.copy(self)
        other.temperature, other.top_p = temperature, top_p
        other.max_sampled_tokens = max_sampled_tokens
        return other

    def reopen(self, rollout: Rollout, turns: Sequence[Turn], *, group: str, seed: int) -> Dialog:
        """A finished rollout's dialog before a turn that is taken anew, and is then the last.

        Args:
            rollout: Of the same prompt and limits.
            turns: Its first turns, at most all but the last; their pictures may be edited ones.
            group: Name of the new dialog's group.
            seed: Of its noise.
        """
        dialog = Dialog(
            self,
            rollout.task,
            rollout.prompt_ids,
            rollout.prompt_views,
            group=group,
            index=rollout.index,
            seed=seed,
        )
        dialog.restore(turns, prefix_ids=rollout.turns[len(turns)].prefix_ids)
        return dialog

    def start(self, task: TaskRecord, *, group: str, index: int, seed: int) -> Dialog:
        """One new dialog; see `start_group` for several of the same task."""
        return self.start_group(task, group=group, seeds=[seed], first_index=index)[0]

    def start_group(
        self, task: TaskRecord, *, group: str, seeds: Sequence[int], first_index: int = 0
    ) -> list[Dialog]:
        """One dialog per seed on the same task; the prompt is encoded once."""
        prompt_ids = tuple(self.codec.prompt_ids(self.prompt.messages(task)))
        views = tuple(self.images.whole(path, source=task.source) for path in task.images)
        if len(views) >= self.limits.max_images and self.limits.max_turns > 1:
            raise ConfigError(
                f"limits.max_images={self.limits.max_images} leaves no crop to task "
                f"{task.id!r}, whose prompt shows {len(views)}"
            )
        return [
            Dialog(
                self, task, prompt_ids, self._seen(views, i, len(seeds), seed),
                group=group, index=first_index + i, seed=seed,
            )
            for i, seed in enumerate(seeds)
        ]  # fmt: skip

    def _seen(
        self, views: tuple[ImageView, ...], index: int, group_size: int, seed: int
    ) -> tuple[ImageView, ...]:
        """A prompt's pictures as one dialog of a group sees them; crops are cut from those."""
        if self.noise is None:
            return views
        mark = self.noise.mark(index=index, group_size=group_size, seed=seed)
        return tuple(view.edited(mark) for view in views) if mark else views


class Dialog:
    """The state of one rollout; made by `Environment.start`.

    Request ids are "group/index/turn" with turns counted from 1.

    Attributes:
        stop_reason: Why it is done; None while it is not.
    """

    def __init__(
        self,
        environment: Environment,
        task: TaskRecord,
        prompt_ids: tuple[int, ...],
        prompt_views: tuple[ImageView, ...],
        *,
        group: str,
        index: int,
        seed: int,
    ) -> None:
        self._env, self.task, self.group, self.index, self.seed = (
            environment, task, group, index, seed,
        )  # fmt: skip
        self._prompt_ids, self._prompt_views = prompt_ids, prompt_views
        self._turns: list[Turn] = []
        self._views = list(prompt_views)
        self._token_ids = list(prompt_ids)
        self._response_tokens = 0  # pictures expanded
        self._sampled_tokens = 0  # the policy's own
        self._reply_tokens = 0  # largest observation with a picture so far
        self._tools = {name: tool.open(task) for name, tool in environment.tools.items()}
        self._request: GenerationRequest | None = None
        self._prefix_ids: tuple[int, ...] = ()
        self._last_turn_reason = self._why_last_turn()
        self.stop_reason: StopReason | None = None

    def fork(self, *, index: int, seed: int) -> Dialog:
        """Another dialog that goes on from here, with an index and noise of its own.

        Raises:
            RuntimeError: A turn is being generated, or the dialog is done.
        """
        if self._request is not None or self.is_done:
            raise RuntimeError(f"dialog {self.group}/{self.index} cannot be forked now")
        other = copy.copy(self)
        other.index, other.seed = index, seed
        other._turns, other._views = list(self._turns), list(self._views)
        other._token_ids = list(self._token_ids)
        other._tools = {name: tool.fork() for name, tool in self._tools.items()}
        return other

    def restore(
        self, turns: Sequence[Turn], *, prefix_ids: tuple[int, ...] = (), is_last: bool = True
    ) -> None:
        """Take turns that have been taken before.

        Args:
            turns: With what was replied to each.
            prefix_ids: Words that the coming turn is opened with.
            is_last: The coming turn is the last; else the dialog goes on within its limits.
        """
        for turn in turns:
            self._turns.append(turn)
            self._views += turn.views
            ids = (*turn.prefix_ids, *turn.completion_ids, *turn.observation_ids)
            self._token_ids += ids
            self._response_tokens += len(ids) - len(turn.views) + self._env.num_tokens(turn.views)
            if turn.views:
                reply = len(turn.observation_ids) - len(turn.views)
                reply += self._env.num_tokens(turn.views)
                self._reply_tokens = max(self._reply_tokens, reply)
        self._prefix_ids, self._last_turn_reason = prefix_ids, StopReason.TURN_LIMIT
        if not is_last:
            self._last_turn_reason = self._why_last_turn()

    @property
    def is_done(self) -> bool:
        return self.stop_reason is not None

    @property
    def image(self) -> ImageView:
        """The first picture of the prompt, whole: the one that points in thoughts refer to."""
        return self._prompt_views[0]

    def is_step(self, turn: Turn) -> bool:
        """Whether a turn is one thought of several, asked for one by one."""
        return bool(self._env.step_reply) and TOOL_CALL not in turn.text

    @property
    def turns(self) -> tuple[Turn, ...]:
        """Those that have been taken so far."""
        return tuple(self._turns)

    def next_request(self) -> GenerationRequest:
        """The turn to generate now; asking again before `accept` gives the same one.

        Raises:
            RuntimeError: The dialog is done.
        """
        if self.is_done:
            raise RuntimeError(f"dialog {self.group}/{self.index} is done: {self.stop_reason}")
        if self._request is None:
            limits, number = self._env.limits, len(self._turns) + 1
            room = limits.max_response_tokens - self._response_tokens - len(self._prefix_ids)
            sampling = SamplingParams(
                max_new_tokens=min(limits.max_new_tokens, room, self._left_to_sample),
                temperature=self._env.temperature,
                top_p=self._env.top_p,
            )
            self._request = GenerationRequest(
                id=f"{self.group}/{self.index}/{number}",
                prompt_ids=(*self._token_ids, *self._prefix_ids),
                views=tuple(self._views),
                sampling=sampling,
                seed=derive_seed(self.seed, number),
            )
        return self._request

    def accept(self, completion: Completion) -> None:
        """Take the answer to `next_request`, and reply to it or end.

        Raises:
            EngineError: The completion answers another request, or holds tokens that an engine
                must never sample.
        """
        request = self._check(completion)
        self._request = None
        text = self._env.codec.decode([*self._prefix_ids, *completion.token_ids])
        turn = Turn(completion.token_ids, completion.logprobs, text, prefix_ids=self._prefix_ids)
        self._response_tokens += len(turn.prefix_ids) + len(turn.completion_ids)
        self._sampled_tokens += len(turn.completion_ids)
        parsed = turn.parsed
        self.stop_reason = self._stop_after(completion, parsed, text, request.sampling)
        if self.stop_reason is None:
            turn = self._observe(turn, parsed)
        self._turns.append(turn)
        self._token_ids += (*turn.prefix_ids, *turn.completion_ids, *turn.observation_ids)
        self._last_turn_reason = self._why_last_turn()
        self._prefix_ids = self._env.forced_ids if self._last_turn_reason else ()

    @property
    def _left_to_sample(self) -> int:
        most = self._env.max_sampled_tokens
        return sys.maxsize if most is None else most - self._sampled_tokens

    @property
    def is_last_turn(self) -> bool:
        """Whether the coming turn is the last that the limits allow."""
        return self._last_turn_reason is not None

    def take(self, text: str) -> None:
        """Take a turn that somebody else wrote in the policy's place; as words put into its mouth,
        so that nothing is learned of them.

        Raises:
            RuntimeError: A turn is being generated, or the dialog is done.
        """
        if self._request is not None:
            raise RuntimeError(f"dialog {self.group}/{self.index}: its turn is being generated")
        self._prefix_ids = tuple(self._env.codec.prefix_ids(text))
        request = self.next_request()
        self.accept(Completion(request.id, (self._env.codec.end_id,), (), is_finished=True))

    def refuse(self) -> None:
        """End without the turn that `next_request` asked for."""
        self._request, self.stop_reason = None, StopReason.REFUSED
        self._turns.append(Turn((), (), ""))

    def rollout(self, *, policy_version: int = 0) -> Rollout:
        """What happened.

        Raises:
            RuntimeError: The dialog is not done.
        """
        if self.stop_reason is None:
            raise RuntimeError(f"dialog {self.group}/{self.index} is not done")
        return Rollout(
            task=self.task,
            prompt_ids=self._prompt_ids,
            prompt_views=self._prompt_views,
            turns=tuple(self._turns),
            stop_reason=self.stop_reason,
            group=self.group,
            index=self.index,
            policy_version=policy_version,
        )

    def _check(self, completion: Completion) -> GenerationRequest:
        request = self._request
        if request is None or completion.request_id != request.id:
            waiting = "nothing" if request is None else request.id
            raise EngineError(f"got completion {completion.request_id} while waiting for {waiting}")
        if not self._env.banned_ids.isdisjoint(completion.token_ids):
            raise EngineError(f"{request.id}: the engine sampled a banned token (image or chat)")
        if self._env.codec.end_id in completion.token_ids[:-1]:
            raise EngineError(f"{request.id}: the engine sampled on after the end token")
        if len(completion.token_ids) > request.sampling.max_new_tokens:
            raise EngineError(f"{request.id}: the engine sampled more tokens than it may")
        return request

    def _stop_after(
        self, completion: Completion, parsed: ParsedTurn, text: str, sampling: SamplingParams
    ) -> StopReason | None:
        if not completion.is_finished:
            was_shortened = sampling.max_new_tokens < self._env.limits.max_new_tokens
            return StopReason.TOKEN_BUDGET if was_shortened else StopReason.TURN_LENGTH
        if parsed.answer is not None:
            return StopReason.ANSWERED
        if parsed.tool_call is None and TOOL_CALL not in text:
            is_thought = bool(self._env.step_reply and parsed.think)
            return self._last_turn_reason if is_thought else StopReason.NO_ACTION
        return self._last_turn_reason

    def _observe(self, turn: Turn, parsed: ParsedTurn) -> Turn:
        """The turn with the environment's reply, or the turn alone where the reply ends it all."""
        if self.is_step(turn):
            seen, error = Observation((self._env.step_reply,)), ""
            parts = seen.parts  # bare: nobody was asked to look
        else:
            seen, error = self._call_tool(parsed)
            parts = tuple(observation_parts(seen.parts))
        turn = replace(turn, tool_error=error)
        # after a stop string the end token was not sampled: the environment ends the turn for it
        add_end = turn.completion_ids[-1:] != (self._env.codec.end_id,)
        ids = tuple(self._env.codec.observation_ids(parts, add_end=add_end))
        num_tokens = len(ids) - len(seen.views) + self._env.num_tokens(seen.views)
        if seen.views:
            self._reply_tokens = max(self._reply_tokens, num_tokens)
        room = self._env.limits.max_response_tokens - self._response_tokens - num_tokens
        room = min(room, self._left_to_sample)
        if seen.is_done or room <= len(self._env.forced_ids):
            self.stop_reason = StopReason.TOOL_DONE if seen.is_done else StopReason.TOKEN_BUDGET
            return turn
        self._response_tokens += num_tokens
        self._views += seen.views
        return replace(
            turn,
            observation_ids=ids,
            observation=text_of(parts),
            views=seen.views,
            focus=seen.focus,
        )

    def _call_tool(self, parsed: ParsedTurn) -> tuple[Observation, str]:
        """The tool's reply, with its pictures fitted to the model; or why there is none."""
        call, error = parsed.tool_call, ""
        if call is None:
            error = f"The tool call could not be read: {parsed.detail}."
        elif call.name not in self._tools:
            error = f"There is no tool of that name. The tools are: {', '.join(self._tools)}."
        else:
            scene = Scene(tuple(self._views))
            try:
                seen = self._tools[call.name].call(call.arguments, scene=scene)
                return self._env.fitted(seen, num_shown=len(self._views)), ""
            except ToolError as problem:
                error = str(problem)
        return Observation((error,)), error

    def _why_last_turn(self) -> StopReason | None:
        """Why the coming turn is the last, or None when it is not.

        A further crop must fit even if the turn before it uses all of its tokens.
        """
        limits = self._env.limits
        room = limits.max_response_tokens - self._response_tokens - len(self._prefix_ids)
        if len(self._turns) + 1 >= limits.max_turns or len(self._views) >= limits.max_images:
            return StopReason.TURN_LIMIT
        if self._turns and room <= limits.max_new_tokens + self._reply_tokens:
            return StopReason.TOKEN_BUDGET
        return None
