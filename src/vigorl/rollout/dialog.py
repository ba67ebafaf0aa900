"""One dialog between a policy and a picture; `rollout.environment` opens them.

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
costs a turn; of several in a turn (`limits.max_calls_per_turn`) it is told in its place.
Observations never repeat the policy's own text, which could hold chat tokens.
"""

from __future__ import annotations

import copy
import sys
from collections.abc import Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from vigorl.core.errors import EngineError
from vigorl.core.media import ImageView
from vigorl.core.protocols import (
    Completion,
    GenerationRequest,
    Observation,
    SamplingParams,
    Scene,
    StatelessTool,
    ToolError,
    WaitingTool,
)
from vigorl.core.records import TaskRecord
from vigorl.core.rollout import Rollout, StopReason, Turn
from vigorl.core.spans import Kind, span
from vigorl.core.trace import (
    FORCED_ANSWER_PREFIX,
    TOOL_CALL,
    ParsedTurn,
    ToolCall,
    observation_parts,
    text_of,
)
from vigorl.rollout.seeds import derive_seed

if TYPE_CHECKING:
    from vigorl.rollout.environment import Environment


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
        self._versions: tuple[int, ...] = ()  # of turns that other weights have sampled
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
        self,
        turns: Sequence[Turn],
        *,
        prefix_ids: tuple[int, ...] = (),
        is_last: bool = True,
        versions: tuple[int, ...] = (),
    ) -> None:
        """Take turns that have been taken before.

        Args:
            turns: With what was replied to each.
            prefix_ids: Words that the coming turn is opened with.
            is_last: The coming turn is the last, and calls nothing; else the dialog goes on within
                its limits, with tools that are called once more where they remember.
            versions: Of the weights that have sampled each of the turns, where the dialog's rollout
                is to tell them from those that sample the others.
        """
        self._versions = versions
        for turn in turns:
            if not is_last:
                self._remember(turn)
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

    def _remember(self, turn: Turn) -> None:
        """Bring tools that remember to where a turn's calls left them; replies are not needed."""
        views, calls = tuple(self._views), turn.parsed.tool_calls
        if turn.parsed.answer is not None or len(calls) > self._env.limits.max_calls_per_turn:
            return
        for call in calls:
            tool = self._tools.get(call.name)
            if tool is None or isinstance(tool, StatelessTool):
                continue
            with suppress(ToolError):  # it was refused then too
                tool.call(call.arguments, scene=Scene(views))
            views = (*self._views, *turn.views)  # what a call has drawn, the next sees

    @property
    def is_done(self) -> bool:
        return self.stop_reason is not None

    @property
    def is_being_checked(self) -> bool:
        """Whether what is generated next is no turn of its own, but asked aside by a rule."""
        return False

    @property
    def verdict(self) -> Future[bool] | None:
        """What somebody has been asked that the coming turn depends on; None: nothing."""
        return None

    @property
    def image(self) -> ImageView:
        """The first picture of the prompt, whole: the one that points in thoughts refer to."""
        return self._prompt_views[0]

    def is_step(self, turn: Turn) -> bool:
        """Whether a turn is one thought of several, asked for one by one."""
        return bool(self._env.step_reply) and TOOL_CALL not in turn.text

    @property
    def views(self) -> tuple[ImageView, ...]:
        """All pictures that have been shown so far."""
        return tuple(self._views)

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

    def ask_ahead(self, completion: Completion) -> list[Future[Any]]:
        """Let services begin with the calls of a completion that is accepted once these are done.

        Of several calls in a turn each is asked about what is shown now; one that is about what
        another shows finds no answer, and asks when its turn comes.
        """
        waiting = {n: tool for n, tool in self._tools.items() if isinstance(tool, WaitingTool)}
        if not waiting or self.is_being_checked:
            return []
        request = self._check(completion)
        text = self._env.codec.decode([*self._prefix_ids, *completion.token_ids])
        parsed = Turn(completion.token_ids, completion.logprobs, text).parsed
        calls = parsed.tool_calls
        if len(calls) > self._env.limits.max_calls_per_turn:  # it will be refused as a whole
            return []
        if self._stop_after(completion, parsed, text, request.sampling) is not None:
            return []
        asked: list[Future[Any]] = []
        for call in calls:
            with suppress(ToolError):  # is told when it is called
                if tool := waiting.get(call.name):
                    answer = tool.ask_ahead(call.arguments, scene=Scene(tuple(self._views)))
                    asked += [] if answer is None else [answer]
        return asked

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

    def answer_now(self) -> None:
        """Make the coming turn the last, opened with the words of a forced answer."""
        self._prefix_ids = tuple(self._env.codec.prefix_ids(FORCED_ANSWER_PREFIX))
        self._last_turn_reason = StopReason.TURN_LIMIT

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
        end = tuple(self._env.codec.completion_ids(text)[-1:])
        self.accept(Completion(request.id, end, (), is_finished=True))

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
        return self._rollout(self.stop_reason, policy_version)

    def so_far(self, *, policy_version: int) -> Rollout:
        """The turns that are whole, of a dialog that is not done; see `Environment.go_on`. Its
        `stop_reason` says nothing.
        """
        return self._rollout(StopReason.TURN_LIMIT, policy_version)

    def _rollout(self, stop_reason: StopReason, policy_version: int) -> Rollout:
        later = (policy_version,) * (len(self._turns) - len(self._versions))
        versions = (*self._versions, *later)
        return Rollout(
            task=self.task,
            prompt_ids=self._prompt_ids,
            prompt_views=self._prompt_views,
            turns=tuple(self._turns),
            stop_reason=stop_reason,
            group=self.group,
            index=self.index,
            policy_version=min(versions, default=policy_version),
            turn_versions=versions if len(set(versions)) > 1 else (),
        )

    def _check(self, completion: Completion) -> GenerationRequest:
        request = self._request
        if request is None or completion.request_id != request.id:
            waiting = "nothing" if request is None else request.id
            raise EngineError(f"got completion {completion.request_id} while waiting for {waiting}")
        if not self._env.banned_ids.isdisjoint(completion.token_ids):
            raise EngineError(f"{request.id}: the engine sampled a banned token (image or chat)")
        if not set(self._env.codec.end_ids).isdisjoint(completion.token_ids[:-1]):
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
            seen, error = self._call_tools(parsed)
            parts = tuple(observation_parts(seen.parts))
        turn = replace(turn, tool_error=error)
        # after a stop string the end token was not sampled: the environment ends the turn for it
        ids = tuple(self._env.codec.observation_ids(parts, after=turn))
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

    def _call_tools(self, parsed: ParsedTurn) -> tuple[Observation, str]:
        """The tools' reply, and what went wrong, in sentences."""
        error, most = "", self._env.limits.max_calls_per_turn
        if not parsed.tool_calls:
            error = f"The tool call could not be read: {parsed.detail}."
        elif len(parsed.tool_calls) > most:
            error = f"The turn makes {len(parsed.tool_calls)} tool calls; it may make {most}."
        if error:
            return Observation((error,)), error
        replies, errors = list[Observation](), list[str]()
        for call in parsed.tool_calls:
            told = Observation.joined(replies)  # of this turn: what a call has drawn, the next sees
            seen, error = self._call_tool(call, Scene((*self._views, *told.views)))
            replies.append(seen)
            errors += [error] if error else []
            if seen.is_done:
                break
        return Observation.joined(replies), " ".join(errors)

    def _call_tool(self, call: ToolCall, scene: Scene) -> tuple[Observation, str]:
        """A tool's reply, with its pictures fitted to the model; or why there is none."""
        if call.name not in self._tools:
            error = f"There is no tool of that name. The tools are: {', '.join(self._tools)}."
            return Observation((error,)), error
        try:
            with span(Kind.TOOL, call.name):
                seen = self._tools[call.name].call(call.arguments, scene=scene)
                return self._env.fitted(seen, num_shown=len(scene.views)), ""
        except ToolError as problem:
            return Observation((str(problem),)), str(problem)

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
