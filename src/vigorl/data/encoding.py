"""From messages and traces to token ids, with the loss mask written as the ids are.

The chat layout is the model family's, such as `<|im_start|>role\\n text <|im_end|>\\n`. Where a
message has no end of its own, the token that opens the environment's next one is the policy's: it
is sampled, and learnt, as the end of the turn. Ids hold ONE placeholder per picture until
`expand_image_pads`. Control tokens only ever come from this file: what a user, a data set, a tool
or the policy writes is encoded as plain text, even where it reads `<|im_end|>` or `<|image_pad|>`,
so no text can end a turn or add a picture.

A policy may write its calls in a dialect of its own (`core.markup`): whatever is said in texts here
is canonical, and translated next to the ids, which are never encoded again.

Left out on purpose: the tokenizer's own chat template (it parses text for control tokens, and adds
a default system message). A test holds that both give the same ids on ordinary text.
"""

from __future__ import annotations

import copy
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise, takewhile
from typing import Any

from transformers import AutoTokenizer

from vigorl.core.errors import ConfigError, DataError
from vigorl.core.markup import Dialect
from vigorl.core.media import ImageView
from vigorl.core.protocols import Observation, OpenTool, Scene, Tool, ToolError
from vigorl.core.records import TraceRecord
from vigorl.core.rollout import GUEST, Rollout, StopReason, TrainingSample, Turn
from vigorl.core.trace import (
    END_TOOL_CALL,
    IMAGE_SLOT,
    TOOL_CALL,
    Step,
    ToolCall,
    observation_parts,
    text_of,
)
from vigorl.data.images import ImageStore
from vigorl.data.placeholders import expand_image_pads as expand_image_pads
from vigorl.data.placeholders import expand_parallel as expand_parallel
from vigorl.data.prompts import Message, Prompt
from vigorl.data.rescale import rescaled_trace
from vigorl.families.family import ChatLayout
from vigorl.families.loading import reading
from vigorl.families.lookup import family_of

_CALL = re.compile(rf"{TOOL_CALL}.*?(?:{END_TOOL_CALL}|$)", re.DOTALL)


class ChatCodec:
    """Text to ids and back for one tokenizer.

    Args:
        tokenizer: A fast Hugging Face tokenizer with the layout's control tokens.
        chat: The family's layout.
    Attributes:
        end_id: The token that ends a turn that answers.
        end_ids: All that may end a turn, `end_id` first.
        image_id: The picture placeholder.
        pad_id: For padding batches.
        banned_ids: Every control token but `end_ids` and the layout's spoken ones, ascending. A
            policy must never sample one: a placeholder would ask for pixels that do not exist, and
            a message start would forge a message.
        dialect: How the policy writes its calls; None is the canonical form.
    Raises:
        ConfigError: The tokenizer lacks one of the tokens.
    """

    dialect: Dialect | None = None

    def __init__(self, tokenizer: Any, chat: ChatLayout) -> None:
        self._tokenizer = tokenizer
        controls = {
            token.content: index
            for index, token in tokenizer.added_tokens_decoder.items()
            if token.special
        }
        if missing := [token for token in chat.needed if token not in controls]:
            raise ConfigError(f"the tokenizer lacks the control tokens {missing} of its family")
        self._opening = [controls[token] for token in chat.opening]
        self._role_ids = {role: controls[token] for role, token in chat.roles}
        # by what opens a message; "" where the role is its first line
        self._roles = {token: role for role, token in self._role_ids.items()} or {
            controls[chat.start]: ""
        }
        self.end_ids: tuple[int, ...] = tuple(controls[token] for token in chat.ends)
        self.end_id: int = self.end_ids[0]
        self.image_id: int = controls[chat.picture]
        around = controls[chat.before_picture], controls[chat.after_picture]
        self._picture_ids = [around[0], self.image_id, around[1]]
        self._tail = chat.tail
        self._left_to_processor = set(around) if chat.is_framed_by_processor else set[int]()
        self.pad_id: int = self.end_id if tokenizer.pad_token_id is None else tokenizer.pad_token_id
        self._spoken = {one: controls[one] for one in chat.spoken if one in controls}
        unspoken = {controls[one] for one in chat.unspoken if one in controls}
        allowed = {*self.end_ids, *self._spoken.values(), *unspoken}
        self.banned_ids: tuple[int, ...] = tuple(sorted(set(controls.values()) - allowed))
        self._not_read = set(controls.values()) - set(self._spoken.values())

    @classmethod
    def from_pretrained(cls, folder: str | os.PathLike[str]) -> ChatCodec:
        """The codec of a model folder (or hub name)."""
        chat = family_of(folder).chat  # first: it says plainly what is wrong with a folder
        with reading(folder):
            tokenizer = AutoTokenizer.from_pretrained(str(folder), trust_remote_code=False)
        try:
            return cls(tokenizer, chat)
        except ConfigError as error:
            raise ConfigError(f"{folder}: {error}") from error

    def speaking(self, dialect: Dialect | None) -> ChatCodec:
        """The same for a policy that writes its calls otherwise."""
        other = copy.copy(self)
        other.dialect = dialect
        return other

    @property
    def call_pattern(self) -> re.Pattern[str]:
        """A call in what the policy itself wrote, whole or cut off at the end."""
        return self.dialect.call_pattern if self.dialect else _CALL

    def prompt_ids(self, messages: Sequence[Message]) -> list[int]:
        """The chat up to and including the header of the assistant's turn.

        Raises:
            DataError: A message's `<image>` slots are not as many as its pictures.
        """
        ids = list(self._opening)
        for message in messages:
            ids += self._message_ids(message) + self._closing_ids()
        return ids + self._assistant_header_ids()

    def observation_ids(
        self, parts: Sequence[str | ImageView], *, after: Turn | None = None
    ) -> list[int]:
        """The environment's message after an assistant turn, up to and including the next assistant
        header.

        Args:
            parts: Texts and pictures in reading order; an `<image>` in a text is plain text.
            after: The turn, where it may lack its end token (a stop string cut it): that is written
                here. None says that it has it.
        """
        ids = self._missing_end(after) if after is not None else []
        text = "\n"  # between two control tokens it is encoded in one go
        if not self._role_ids:
            started, text = self._opened("user")
            ids += [*self._plain_ids("\n"), *started]
        for part in parts:
            if isinstance(part, str):
                text += part
            else:
                ids += [*self._plain_ids(text), *self._picture_ids]
                text = self._tail
        ids += self._plain_ids(text)
        return [*ids, *self._closing_ids(), *self._assistant_header_ids()]

    def completion_ids(self, text: str) -> list[int]:
        """What a policy would have sampled to write this turn, end token included."""
        return [*self.prefix_ids(text), self._end_of(text)]

    def reply_ids(self, text: str) -> list[int]:
        """The same of a turn in the policy's own words, as an endpoint hands them over."""
        canonical = self.dialect.read(text) if self.dialect else text
        return [*self._plain_ids(text), self._end_of(canonical)]

    def prefix_ids(self, text: str) -> list[int]:
        """Words put into the policy's mouth: no header, no end token."""
        return self._plain_ids(self.dialect.write(text) if self.dialect else text)

    def decode(self, ids: Sequence[int]) -> str:
        """What a policy's ids say, in canonical form."""
        text = self.decode_raw(ids)
        return self.dialect.read(text) if self.dialect else text

    def decode_raw(self, ids: Sequence[int]) -> str:
        """The text of ids, as it was written, without control tokens that are not spoken."""
        return self._tokenizer.decode(
            [token for token in ids if token not in self._not_read],
            skip_special_tokens=False,
            clean_up_tokenization_spaces=False,
        )

    def processor_ids(self, ids: Sequence[int]) -> list[int]:
        """A prompt for programs that make of a placeholder what the family's processor does: what
        that writes around a picture itself is left out.
        """
        return [token for token in ids if token not in self._left_to_processor]

    def messages_of(self, ids: Sequence[int]) -> list[Message]:
        """The dialog in the ids of a request, ONE placeholder per picture: the inverse of
        `prompt_ids` and of what the environment writes after it.

        The last message is the assistant's that is to be written, with the words it is opened with,
        usually none. A text that holds a literal `<image>` comes back with `< image >` there, or it
        would read as one more picture.

        Raises:
            ValueError: The ids are not a dialog of this codec that ends in an assistant's turn.
        """
        starts = [i for i, token in enumerate(ids) if token in self._roles]
        if not starts or list(ids[: starts[0]]) != self._opening:
            raise ValueError("the ids do not begin with a message")
        bounds = [*starts, len(ids)]
        messages = [self._message_of(ids[a:b]) for a, b in pairwise(bounds)]
        if messages[-1].role != "assistant" or not self._is_open(ids[starts[-1] :]):
            raise ValueError("the ids do not end in an assistant's turn")
        return messages

    def _message_of(self, ids: Sequence[int]) -> Message:
        """Of a message's ids, from what opens it up to the next one's."""
        parts: list[list[int]] = [[]]
        for token in takewhile(lambda one: one not in self.end_ids, ids[1:]):
            if token == self.image_id:
                parts.append([])
            else:
                parts[-1].append(token)
        texts = [self.decode_raw(part).replace(IMAGE_SLOT, "< image >") for part in parts]
        texts[1:] = [text.removeprefix(self._tail) for text in texts[1:]]
        role, line_break, first = (self._roles[ids[0]] + texts[0]).partition("\n")
        if not line_break:
            raise ValueError(f"a message has no role: {texts[0][:80]!r}")
        return Message(role, IMAGE_SLOT.join([first, *texts[1:]]), len(parts) - 1)

    def _plain_ids(self, text: str) -> list[int]:
        if not self._spoken:
            return self._text_ids(text)
        parts = re.split(f"({'|'.join(map(re.escape, self._spoken))})", text)
        return [
            token
            for part in parts
            for token in ([self._spoken[part]] if part in self._spoken else self._text_ids(part))
        ]

    def _text_ids(self, text: str) -> list[int]:
        return self._tokenizer(text, add_special_tokens=False, split_special_tokens=True)[
            "input_ids"
        ]

    def _is_open(self, ids: Sequence[int]) -> bool:
        return set(self.end_ids).isdisjoint(ids)

    def _end_of(self, text: str) -> int:
        """How a turn ends that says this, in canonical form."""
        is_call = "tool" in self._role_ids and TOOL_CALL in text
        return self._role_ids["tool"] if is_call else self.end_id

    def _missing_end(self, turn: Turn) -> list[int]:
        """What must come before the environment's own words."""
        last = turn.completion_ids[-1:]
        is_there = last and (last[0] in self._roles if self._role_ids else last[0] == self.end_id)
        return [] if is_there else [self._end_of(turn.text)]

    def _closing_ids(self) -> list[int]:
        return [] if self._role_ids else [self.end_id, *self._plain_ids("\n")]

    def _opened(self, role: str) -> tuple[list[int], str]:
        """What opens a message, and how the text after it begins."""
        if self._role_ids:
            return [self._role_ids[role]], "\n"
        return list(self._roles), f"{role}\n"

    def _assistant_header_ids(self) -> list[int]:
        ids, text = self._opened("assistant")
        return [*ids, *self._plain_ids(text)]

    def _message_ids(self, message: Message) -> list[int]:
        # Text between two control tokens is encoded in one go, as a chat template would have it.
        ids, text = self._opened(message.role)
        parts = f"{text}{message.text}".split(IMAGE_SLOT)
        if len(parts) - 1 != message.num_images:
            raise DataError(
                f"{len(parts) - 1} {IMAGE_SLOT} slots in the {message.role} message, but "
                f"{message.num_images} pictures: {message.text[:80]!r}"
            )
        parts[-1] += message.plain
        ids += self._plain_ids(parts[0])
        for part in parts[1:]:
            ids += [*self._picture_ids, *self._plain_ids(self._tail + part)]
        return ids


def encode_trace(
    record: TraceRecord,
    *,
    prompt: Prompt,
    codec: ChatCodec,
    images: ImageStore,
    tools: Mapping[str, Tool],
    max_calls: int = 1,
) -> TrainingSample:
    """The tokens that the same dialog would give as a rollout, with the policy's turns to learn
    from.

    Args:
        record: The worked solution; its coordinates are brought into the frame of the picture as
            the model sees it.
        prompt: The same prompt that rollouts use; the record's own system text, if it has one, goes
            first.
        codec: The policy's tokens.
        images: Sizes and token counts of the pictures.
        tools: By name; carried out, so that what they show and say is that of a rollout.
        max_calls: That a turn may make.
    Raises:
        DataError: The trace calls an unknown tool, a call fails, a turn makes too many, or the
            question's slots do not fit its pictures.
    """
    rollout = trace_rollout(
        record, prompt=prompt, codec=codec, images=images, tools=tools, max_calls=max_calls
    )
    return TrainingSample(rollout.token_ids, rollout.loss_mask, rollout.views)


def trace_rollout(
    record: TraceRecord,
    *,
    prompt: Prompt,
    codec: ChatCodec,
    images: ImageStore,
    tools: Mapping[str, Tool],
    max_calls: int = 1,
) -> Rollout:
    """The rollout of a policy that wrote a worked solution; a guest, since none did.

    Args and errors are those of `encode_trace`.
    """
    task = record.task
    views = [images.whole(path, source=task.source) for path in task.images]
    if record.system is not None:
        prompt = replace(prompt, system=record.system)
    trace = record.trace
    if views:
        specs = {name: tool.spec for name, tool in tools.items()}
        trace = rescaled_trace(record, image=views[0], more=views[1:], specs=specs)
    opened = {name: tool.open(task) for name, tool in tools.items()}
    turns, shown = list[Turn](), list(views)
    for text, step in zip(trace.turns(), trace.steps, strict=True):
        turn = Turn(tuple(codec.completion_ids(text)), (), text)
        if step.tool_call is not None:
            seen = _call_tools(step, opened, record, shown, max_calls, fit=images.fit)
            parts = observation_parts(seen.parts)
            turn = replace(
                turn,
                observation_ids=tuple(codec.observation_ids(parts)),
                observation=text_of(tuple(parts)),
                views=seen.views,
                focus=seen.focus,
            )
            shown += seen.views
        turns.append(turn)
    return Rollout(
        task=task,
        prompt_ids=tuple(codec.prompt_ids(prompt.messages(task))),
        prompt_views=tuple(views),
        turns=tuple(turns),
        stop_reason=StopReason.ANSWERED,
        policy_version=GUEST,
    )


def _call_tools(
    step: Step,
    tools: Mapping[str, OpenTool],
    record: TraceRecord,
    views: Sequence[ImageView],
    max_calls: int,
    *,
    fit: Callable[[ImageView], ImageView],
) -> Observation:
    if len(step.tool_calls) > max_calls:
        raise DataError(
            f"trace of {record.task.id}: a turn makes {len(step.tool_calls)} tool calls, more than "
            f"limits.max_calls_per_turn={max_calls}: raise that, or give each a turn of its own",
            path=record.task.source,
        )
    replies = list[Observation]()
    for call in step.tool_calls:
        told = Observation.joined(replies)
        replies.append(_call_tool(call, tools, record, [*views, *told.views]).with_views(fit))
    return Observation.joined(replies)


def _call_tool(
    call: ToolCall, tools: Mapping[str, OpenTool], record: TraceRecord, views: Sequence[ImageView]
) -> Observation:
    task = record.task
    if not views:
        raise DataError(f"trace of {task.id}: calls a tool but has no picture", path=task.source)
    if call.name not in tools:
        raise DataError(
            f"trace of {task.id}: no tool is called {call.name!r}; configured are {sorted(tools)}",
            path=task.source,
        )
    try:
        return tools[call.name].call(call.arguments, scene=Scene(tuple(views)))
    except ToolError as error:
        raise DataError(
            f"trace of {task.id}: {call.name}({dict(call.arguments)}) fails: {error}",
            path=task.source,
        ) from error
