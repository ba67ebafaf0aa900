"""A model that is asked for its judgement, behind an OpenAI-compatible chat endpoint.

    judge = ChatJudge(["https://api.example.com"], model="NAME", api_key_env="EXAMPLE_KEY")
    reply = judge.submit(JudgePrompt("Is the sky blue?")).result()
    replies = ask_judge(judge, prompts)

A question has text and, where it is about one, pictures, sent as the `server` engine sends them. A
reply that does not come is an error of its own question; what that means is up to who asked.

Left out: several replies per question, and replies that go on (one message each way).
"""

from __future__ import annotations

import itertools
import queue
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

from PIL import Image

from vigorl.core.errors import EngineError
from vigorl.rollout.engines.server_api import ChatFormat, chat_content, png_url
from vigorl.rollout.engines.server_pool import HttpClient, ServerPool

HOPELESS = 16  # questions without a reply after which nothing more is asked


@dataclass(frozen=True, slots=True)
class JudgePrompt:
    """One question to a judge.

    Attributes:
        text: With one slot `<image>` per picture; without pictures any text.
        draw: Makes the pictures, from another thread, each time the question is sent: of many that
            wait, none is in memory. None: no picture.
    """

    text: str
    draw: Callable[[], Sequence[Image.Image]] | None = None


class Judge(Protocol):
    """Answers prompts, several at once."""

    def submit(self, prompt: JudgePrompt) -> Future[str]:
        """The reply, when it is there; `EngineError` where none came, however often it was asked.

        A future that is cancelled is asked no more.
        """
        ...


class ChatJudge:
    """A model behind an OpenAI-compatible chat endpoint.

    Args:
        urls: Base URLs, such as https://api.example.com, of servers of the same model.
        model: The served model's name.
        api_key_env: Environment variable with the API key; None sends none.
        max_new_tokens: For one reply.
        extra: Further fields of a request, over what is there; None removes one.
        timeout_s: For one reply.
        max_concurrent: Requests at once on each server.
        max_attempts: Of one request.
        section: Of the settings, for errors.
        pool_settings: Others of `ServerPool`.
    Raises:
        ConfigError: As `ServerPool`; or the key's variable is not set.
    """

    def __init__(
        self,
        urls: Sequence[str],
        *,
        model: str,
        api_key_env: str | None = None,
        max_new_tokens: int = 256,
        extra: Mapping[str, Any] | None = None,
        timeout_s: float = 120.0,
        max_concurrent: int = 8,
        max_attempts: int = 4,
        section: str = "judge",
        **pool_settings: Any,
    ) -> None:
        self._http = HttpClient(api_key_env=api_key_env, timeout_s=timeout_s, section=section)
        # No health is asked after: not every endpoint has such a route. Attempts are the limit.
        self._pool = ServerPool(
            urls, revive=lambda url: None, max_concurrent=max_concurrent,
            max_attempts=max_attempts, section=section, **pool_settings,
        )  # fmt: skip
        fields = {"model": model, "max_tokens": max_new_tokens, "temperature": 0.0, "seed": 0}
        fields |= dict(extra or {})
        self._fields = {name: value for name, value in fields.items() if value is not None}
        self._numbers = itertools.count()

    def submit(self, prompt: JudgePrompt) -> Future[str]:
        number = next(self._numbers)
        return self._pool.submit(
            partial(self._reply, prompt), name=f"question {number} to the judge", key=str(number)
        )

    def _reply(self, prompt: JudgePrompt, url: str) -> str:
        urls = [png_url(picture) for picture in prompt.draw()] if prompt.draw else []
        message = {"role": "user", "content": chat_content(prompt.text, urls)}
        answer = self._http.call(url + ChatFormat.path, self._fields | {"messages": [message]})
        try:
            content = answer["choices"][0]["message"]["content"]
        except (KeyError, IndexError, TypeError) as error:
            raise EngineError(f"the judge's answer has no message: {str(answer)[:200]}") from error
        return content if isinstance(content, str) else ""


def ask_judge(judge: Judge, prompts: Sequence[JudgePrompt]) -> list[str | None]:
    """Wait for one reply per prompt, in their order; None where none came.

    Raises:
        EngineError: No reply to any of the first prompts: a wrong key, URL or model.
    """
    replies: list[Future[str]] = []
    arrived: queue.SimpleQueue[Future[str]] = queue.SimpleQueue()
    try:
        for prompt in prompts:
            replies.append(judge.submit(prompt))
            replies[-1].add_done_callback(arrived.put)
        _check_reach(arrived, num_first=min(len(replies), HOPELESS))
        return [_reply_of(reply) for reply in replies]
    finally:
        for reply in replies:
            reply.cancel()


def _check_reach(arrived: queue.SimpleQueue[Future[str]], *, num_first: int) -> None:
    error = None
    for _ in range(num_first):
        reply = arrived.get()
        if _reply_of(reply) is not None:
            return
        error = reply.exception()
    if error is not None:
        raise EngineError(f"the judge gave no reply to {num_first} questions: {error}")


def _reply_of(reply: Future[str]) -> str | None:
    try:
        return reply.result()
    except EngineError:
        return None
