"""What the `server` engine says to a server, and how it reads the answer.

    tokens    vLLM's /inference/v1/generate: ids in, ids and logprobs out. The one for RL: nothing
              is decoded and encoded again.
    chat      /v1/chat/completions of any OpenAI-compatible endpoint, for teachers: text both ways,
              encoded by our own codec, so the ids are ours and there are no logprobs.

Left out on purpose: logprobs of the chat format. A teacher's tokens are not ours, and where they
are, the tokens format has them. Its completions carry none and `Rollout.sampling_logprobs` refuses
to make up any, so such a rollout can be judged or turned into a trace but never trained on by RL.
"""

from __future__ import annotations

import base64
import io
import threading
from collections.abc import Mapping, Sequence
from itertools import islice
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Protocol

from cachetools import LRUCache, cachedmethod
from PIL import Image

from vigorl.core.errors import EngineError, RefusalError
from vigorl.core.media import ImageView
from vigorl.core.protocols import Completion, GenerationRequest
from vigorl.core.trace import ANSWER, IMAGE_SLOT, render_answer_turn
from vigorl.rollout.engines.server_pool import TransientError

if TYPE_CHECKING:
    from vigorl.data.encoding import ChatCodec
    from vigorl.data.images import ImageStore

BAN = (
    -100.0
)  # vLLM's strongest bias: leaves a banned token e^-100, below a float32 logprob's last bit
_REASONING = ("reasoning_content", "reasoning", "thinking")  # vLLM and DeepSeek, OpenRouter, Ollama
OWN_FIELD = "vigorl"  # of a choice by vigorl.serve, whose content is the answer without its tags
NO_LOGPROB = -9000.0  # vLLM writes -9999 where it has none


class WireFormat(Protocol):
    """One kind of endpoint; used by several threads at once."""

    path: str
    health_path: str
    has_logprobs: bool

    def body(self, request: GenerationRequest) -> dict[str, Any]:
        """What is posted."""
        ...

    def read(self, request: GenerationRequest, answer: Any) -> Completion:
        """The completion in an answer.

        Raises:
            TransientError: The server gave up on the request.
            RefusalError: The model would not answer it.
            EngineError: The answer is not what the request asked for.
        """
        ...

    def weight_labels(self, answer: Any) -> frozenset[str]:
        """The labels of the weights that sampled the answer; empty where the server tells none."""
        ...


def png_url(picture: Image.Image) -> str:
    """A picture as a lossless PNG data URL."""
    file = io.BytesIO()
    # a save is noted on the picture, which threads share
    picture.copy().save(file, "PNG", compress_level=1)
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()


def chat_content(text: str, urls: Sequence[str]) -> str | list[dict[str, Any]]:
    """The content of a chat message: plain text, or parts where it has pictures.

    Args:
        text: With one slot `<image>` per picture; without pictures any text.
        urls: The pictures in the order of their slots.
    Raises:
        ValueError: Not one slot per picture.
    """
    if not urls:
        return text
    first, *rest = text.split(IMAGE_SLOT)
    parts: list[dict[str, Any]] = [{"type": "text", "text": first}]
    for url, after in zip(urls, rest, strict=True):
        parts.append({"type": "image_url", "image_url": {"url": url}})
        parts.append({"type": "text", "text": after})
    return [part for part in parts if part.get("text") != ""]


class DataUrls:
    """Views as lossless PNG data URLs, kept while they are in use."""

    def __init__(self, images: ImageStore, *, cache_bytes: int = 1 << 29) -> None:
        self._images, self._lock = images, threading.Lock()
        self._urls: LRUCache[str, str] = LRUCache(cache_bytes, getsizeof=len)

    # neither the store nor the cache knows threads
    @cachedmethod(attrgetter("_urls"), key=lambda self, view: view.key, lock=attrgetter("_lock"))
    def url(self, view: ImageView) -> str:
        with self._lock:
            picture = self._images.image(view)
        return png_url(picture)


class TokensFormat:
    """vLLM's token-in, token-out endpoint.

    Args:
        codec: Says which token ends a turn and which are banned.
        images: Pixels of views.
        model: The served model's name; None where the server has one.
    """

    path = "/inference/v1/generate"
    health_path = "/health"
    has_logprobs = True

    def __init__(self, codec: ChatCodec, images: ImageStore, *, model: str | None = None) -> None:
        self._codec, self._urls, self._model = codec, DataUrls(images), model
        self._bias = {str(token): BAN for token in codec.banned_ids}

    def body(self, request: GenerationRequest) -> dict[str, Any]:
        urls = [self._urls.url(view) for view in request.views]
        parts = [{"type": "image_url", "url": url} for url in urls]
        return ({"model": self._model} if self._model else {}) | {
            "token_ids": self._codec.processor_ids(request.prompt_ids),
            "content_parts": parts or None,
            "sampling_params": {
                "max_tokens": request.sampling.max_new_tokens,
                "temperature": request.sampling.temperature,
                "top_p": request.sampling.top_p,
                "seed": request.seed,
                "stop_token_ids": list(self._codec.end_ids),
                "ignore_eos": True,
                "logprobs": 0,
                "detokenize": False,
                "logit_bias": self._bias,
            },
        }

    def read(self, request: GenerationRequest, answer: Any) -> Completion:
        choice = _choice(answer, request)
        ids = tuple(choice.get("token_ids") or ())
        entries = (choice.get("logprobs") or {}).get("content") or []
        if [entry.get("token_id") for entry in entries] != list(ids):
            raise EngineError("the server's logprobs are not those of its tokens")
        logprobs = tuple(float(entry["logprob"]) for entry in entries)
        if any(logprob < NO_LOGPROB for logprob in logprobs):
            raise EngineError("the server has no logprob for a token it sampled")
        is_finished = bool(ids) and ids[-1] in self._codec.end_ids
        if not is_finished and len(ids) < request.sampling.max_new_tokens:
            raise EngineError(
                f"the server cut the turn after {len(ids)} of "
                f"{request.sampling.max_new_tokens} tokens; raise its --max-model-len"
            )
        return Completion(request.id, ids, logprobs, is_finished=is_finished)

    def weight_labels(self, answer: Any) -> frozenset[str]:
        spans = answer["choices"][0].get("weight_versions") or []
        return frozenset(span["version"] for span in spans)


class ChatFormat:
    """An OpenAI-compatible chat endpoint.

    A turn that is opened with words of ours (the forced answer) is sent as a message to continue,
    which vLLM and SGLang know and others refuse.

    Args:
        codec: Turns prompts into messages and answers into ids.
        images: Pixels of views.
        model: The served model's name.
        extra: Joined to every request, over what is there; None removes a field.
    """

    path = "/v1/chat/completions"
    health_path = "/v1/models"
    has_logprobs = False

    def __init__(
        self,
        codec: ChatCodec,
        images: ImageStore,
        *,
        model: str,
        extra: Mapping[str, Any] | None = None,
    ) -> None:
        self._codec, self._urls, self._model = codec, DataUrls(images), model
        self._extra = dict(extra or {})

    def body(self, request: GenerationRequest) -> dict[str, Any]:
        *messages, opened = self._codec.messages_of(request.prompt_ids)
        body: dict[str, Any] = {
            "model": self._model,
            "max_tokens": request.sampling.max_new_tokens,
            "temperature": request.sampling.temperature,
            "top_p": request.sampling.top_p,
            "seed": request.seed,
        }
        if opened.text:
            messages.append(opened)
            body |= {"continue_final_message": True, "add_generation_prompt": False}
        urls = map(self._urls.url, request.views)
        body["messages"] = [
            {
                # of a tool, endpoints ask for the id of a call that they were never told of
                "role": "user" if message.role == "tool" else message.role,
                "content": chat_content(message.text, list(islice(urls, message.num_images))),
            }
            for message in messages
        ]
        return {name: value for name, value in (body | self._extra).items() if value is not None}

    def read(self, request: GenerationRequest, answer: Any) -> Completion:
        choice = _choice(answer, request)
        is_opened = bool(self._codec.messages_of(request.prompt_ids)[-1].text)
        try:
            text = _chat_text(choice, with_thought=not is_opened)
        except _NoTextError as error:
            message = f"request {request.id}: {error}"
            raise RefusalError(message, request_id=request.id) from error
        ids = self._codec.reply_ids(text)
        is_finished = choice.get("finish_reason") != "length"
        if not is_finished:
            ids = ids[:-1]  # the end token that nobody sampled
        limit = request.sampling.max_new_tokens
        return Completion(
            request.id, tuple(ids[:limit]), (), is_finished=is_finished and len(ids) <= limit
        )

    def weight_labels(self, answer: Any) -> frozenset[str]:
        return frozenset()


class _NoTextError(Exception):
    """A message that says nothing; in words what came."""


def _chat_text(choice: Mapping[str, Any], *, with_thought: bool) -> str:
    """What a teacher has said: its content, after its reasoning where that has a field of its own.

    Raises:
        _NoTextError: It has said nothing, but called a tool of the endpoint's or refused; or it was
            silent.
        EngineError: There is no message.
    """
    message = choice.get("message")
    if not isinstance(message, dict):
        raise EngineError(f"the endpoint's choice holds no message: {str(choice)[:200]}")
    if refusal := message.get("refusal"):
        raise _NoTextError(f"the teacher refused: {str(refusal)[:200]}")
    content = message.get("content")
    if isinstance(content, list):  # of parts
        content = "".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
    thought = next((message[name] for name in _REASONING if message.get(name)), "")
    if content and OWN_FIELD in choice and ANSWER not in content:
        return render_answer_turn(str(thought), content)
    if content and thought and with_thought and "<think>" not in content:
        return f"<think> {str(thought).strip()} </think>\n{content}"
    if content or thought:
        return str(content or thought)
    if content == "" and not message.get("tool_calls") and choice.get("finish_reason") == "stop":
        return ""  # it ended its turn at once
    came = sorted(name for name, value in message.items() if value and name != "role")
    end = choice.get("finish_reason")
    hint = "; raise limits.max_new_tokens: it was cut while it reasoned" if end == "length" else ""
    raise _NoTextError(
        f"the teacher's message has no content, but {came or 'nothing'} "
        f"(finish_reason {end!r}){hint}"
    )


def _choice(answer: Any, request: GenerationRequest) -> dict[str, Any]:
    if not isinstance(answer, dict) or not answer.get("choices"):
        raise EngineError(f"the server's answer holds no choice: {str(answer)[:200]}")
    choice = answer["choices"][0]
    if not isinstance(choice, dict):
        raise EngineError(f"the server's answer holds no choice: {str(answer)[:200]}")
    if choice.get("finish_reason") in ("abort", "error"):
        raise TransientError(f"the server ended the request with {choice['finish_reason']!r}")
    return choice
