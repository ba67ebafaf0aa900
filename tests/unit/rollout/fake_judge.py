"""A judge in this process, whose replies are a function of the prompt."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

from vigorl.core.errors import EngineError
from vigorl.rollout.judge import JudgePrompt


class FakeJudge:
    """Replies what `script` makes of a prompt; None is a reply that never comes.

    Args:
        script: Called in another thread; may block.
        num_threads: Prompts that are answered at the same time; 1 keeps their order.
    """

    def __init__(
        self, script: Callable[[JudgePrompt], str | None], *, num_threads: int = 1
    ) -> None:
        self._script, self._threads = script, ThreadPoolExecutor(num_threads)

    def submit(self, prompt: JudgePrompt) -> Future[str]:
        return self._threads.submit(self._reply, prompt)

    def _reply(self, prompt: JudgePrompt) -> str:
        reply = self._script(prompt)
        if reply is None:
            raise EngineError("the fake judge is busy")
        return reply


def in_turn(*replies: str | None) -> FakeJudge:
    """A judge that replies what it was told to, in the order of the prompts."""
    left = iter(replies)
    return FakeJudge(lambda prompt: next(left))
