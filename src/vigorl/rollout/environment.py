"""The dialog between a policy and a picture, turn by turn, without an engine.

    dialog = environment.start(task, group="train/0/scene-7", index=0, seed=11)
    while not dialog.is_done:
        dialog.accept(completion_of(dialog.next_request()))
    rollout = dialog.rollout(policy_version=3)

What ends or continues a dialog after a turn: `rollout.dialog`.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from vigorl.core.errors import ConfigError
from vigorl.core.media import ImageView
from vigorl.core.protocols import Observation, Tool, ToolError
from vigorl.core.records import TaskRecord
from vigorl.core.rollout import Rollout, Turn
from vigorl.core.trace import FORCED_ANSWER_PREFIX
from vigorl.data.prompts import OPTIONS
from vigorl.rollout.dialog import Dialog
from vigorl.rollout.limits import RolloutLimits
from vigorl.rollout.stopping import StoppingDialog, StopRule

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
        if not tools and (codec.dialect or limits.max_calls_per_turn > 1):
            key = "markup" if codec.dialect else "limits.max_calls_per_turn"
            raise ConfigError(f"{key} has no effect without tools: set tools, or leave it out")
        if temperature < 0 or not 0 < top_p <= 1:
            raise ConfigError(f"temperature={temperature} must be >= 0 and top_p={top_p} in (0, 1]")
        self.tools = {tool.name: tool for tool in tools}
        if len(self.tools) != len(tools):
            raise ConfigError(f"two tools share a name: {[tool.name for tool in tools]}")
        self.prompt, self.codec, self.images, self.limits = prompt, codec, images, limits
        self.temperature, self.top_p, self.step_reply = temperature, top_p, step_reply
        self.noise: NoisyBranch | None = None
        self.stop_rule: StopRule | None = None
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
            ToolError: More pictures than the dialog has room for, or one too long and narrow.
        """
        room = self.limits.max_images - num_shown
        if len(seen.views) > room:
            raise ToolError(f"The reply has {len(seen.views)} pictures; there is room for {room}.")
        try:
            return seen.with_views(self.images.fit)
        except ValueError as error:
            raise ToolError("A picture of the reply is too long and narrow to be shown.") from error

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

    def stopping_by(self, rule: StopRule) -> Environment:
        """The same, but after each look it is asked whether it is enough."""
        other = copy.copy(self)
        other.stop_rule = rule
        return other

    def listing_options(self) -> Environment:
        """The same, but a question's options are listed also where its prompt leaves them out."""
        other = copy.copy(self)
        other.prompt = replace(self.prompt, options=self.prompt.options or OPTIONS)
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

    def go_on(self, rollout: Rollout, *, seed: int) -> Dialog:
        """The dialog of a rollout that is not done (`Dialog.so_far`), as it would have gone on.

        Args:
            rollout: Of this environment, or of one with the same prompt, tools and limits.
            seed: Of its noise, as before.
        """
        dialog = Dialog(
            self,
            rollout.task,
            rollout.prompt_ids,
            rollout.prompt_views,
            group=rollout.group,
            index=rollout.index,
            seed=seed,
        )
        versions = rollout.turn_versions or (rollout.policy_version,) * len(rollout.turns)
        dialog.restore(rollout.turns, is_last=False, versions=versions)
        if dialog.is_last_turn and self.forced_ids and rollout.turns:
            dialog.restore((), prefix_ids=self.forced_ids, is_last=False, versions=versions)
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
        kind = Dialog if self.stop_rule is None else StoppingDialog
        return [
            kind(
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
