"""What a chat request may say, after the OpenAI API reference for chat completions.

One question about one or more pictures: a user message of texts and `image_url` parts, and before
it, if anything, the system text that the policy has anyway. What would change the answer and cannot
be had (`tools`, `stop`, a conversation) is refused, since an ignored wish is a wrong answer; what
would not (`user`, `metadata`, `store`) is taken no notice of.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from vigorl.core.trace import IMAGE_SLOT

MOST_CHOICES = 128  # of one request, as OpenAI's
_NO_EFFECT = ("user", "metadata", "store")  # on the answer
_NO_WISH: dict[str, Any] = {  # values that clients send to ask for nothing
    "frequency_penalty": 0, "presence_penalty": 0, "logit_bias": {}, "logprobs": False,
    "response_format": {"type": "text"}, "stop": [], "tools": [], "tool_choice": "none",
}  # fmt: skip


class RequestRefusedError(Exception):
    """Why a request gets no answer, as HTTP and JSON say it.

    Args:
        message: One line.
        status: Of HTTP.
        param: The field at fault.
        code: For programs.
    """

    def __init__(
        self, message: str, *, status: int = 400, param: str | None = None, code: str | None = None
    ) -> None:
        super().__init__(message)
        self.status, self.param, self.code = status, param, code

    @property
    def body(self) -> dict[str, Any]:
        kind = "invalid_request_error" if self.status < 500 else "server_error"
        error = {"message": str(self), "type": kind, "param": self.param, "code": self.code}
        return {"error": error}


class _Said(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class _Url(_Said):
    url: str
    detail: str | None = None  # the policy sees a picture at its own size


class _Text(_Said):
    type: Literal["text"]
    text: str


class _Picture(_Said):
    type: Literal["image_url"]
    image_url: _Url


class _Message(_Said):
    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: list[Annotated[_Text | _Picture, Field(discriminator="type")]]
    name: str | None = None

    @field_validator("content", mode="before")
    @classmethod
    def _as_parts(cls, content: Any) -> Any:
        return [{"type": "text", "text": content}] if isinstance(content, str) else content

    @property
    def text(self) -> str:
        """Without its pictures."""
        return "".join(part.text for part in self.content if isinstance(part, _Text))


class _Own(_Said):
    """What OpenAI's API has no word for.

    Attributes:
        options: To choose from, written as the policy's prompt writes them.
        crops: Whether the answer carries what each look showed, as PNG data URIs.
    """

    options: list[str] = []
    crops: bool = False


class _StreamOptions(_Said):
    include_usage: bool = False
    include_obfuscation: bool | None = None


class ChatRequest(_Said):
    """A request that can be answered; see `read_request`."""

    model: str
    messages: list[_Message] = Field(min_length=1)
    temperature: float | None = Field(None, ge=0, le=2)
    top_p: float | None = Field(None, gt=0, le=1)
    max_tokens: int | None = Field(None, ge=1)
    max_completion_tokens: int | None = Field(None, ge=1)
    seed: int | None = None
    n: int | None = Field(None, ge=1, le=MOST_CHOICES)
    stream: bool | None = None
    stream_options: _StreamOptions | None = None
    vigorl: _Own = _Own()

    @property
    def most_tokens(self) -> int | None:
        """Of the policy's own, in all turns of a choice."""
        said = [one for one in (self.max_tokens, self.max_completion_tokens) if one is not None]
        return min(said, default=None)

    @property
    def asked(self) -> _Message:
        """The user's message."""
        return self.messages[-1]

    @property
    def urls(self) -> list[str]:
        """Of its pictures, in order."""
        return [one.image_url.url for one in self.asked.content if isinstance(one, _Picture)]

    @property
    def question(self) -> str:
        """Its text; with slots where pictures stand behind words, else they come first anyway."""
        parts = self.asked.content
        is_picture = [isinstance(part, _Picture) for part in parts]
        if is_picture == sorted(is_picture, reverse=True):
            return self.asked.text
        return "".join(part.text if isinstance(part, _Text) else IMAGE_SLOT for part in parts)


def read_request(body: Any, *, model: str, system: str) -> ChatRequest:
    """A request, checked.

    Args:
        body: What the JSON says.
        model: The one that is served.
        system: The policy's own system text.
    Raises:
        RequestRefusedError: It asks for what cannot be had; says which field.
    """
    if not isinstance(body, dict):
        raise RequestRefusedError("the body must be a JSON object")
    said = {
        name: value
        for name, value in body.items()
        if value is not None and name not in _NO_EFFECT and value != _NO_WISH.get(name, ...)
    }
    try:
        request = ChatRequest.model_validate(said)
    except ValidationError as error:
        raise _refusal(error) from error
    if request.model != model:
        raise RequestRefusedError(
            f"the model {request.model!r} is not here; {model!r} is",
            status=404, param="model", code="model_not_found",
        )  # fmt: skip
    for message in request.messages[:-1]:
        if message.role not in ("system", "developer"):
            raise RequestRefusedError(
                "the policy answers one question at a time: send one user message, without what "
                "was said before",
                param="messages",
            )
        if message.text != system or len(message.content) != 1:
            raise RequestRefusedError(
                "the policy has a system text of its own, which it was trained with: leave the "
                f"{message.role} message out",
                param="messages",
            )
    if request.asked.role != "user":
        raise RequestRefusedError("the last message must be the user's", param="messages")
    if not request.urls:
        raise RequestRefusedError(
            "there is no picture: put an image_url part beside the question", param="messages"
        )
    return request


def _refusal(error: ValidationError) -> RequestRefusedError:
    """Of the first thing that is wrong, in one line."""
    first = error.errors()[0]
    place = [str(part) for part in first["loc"]]
    param = ".".join(part for part in place if part not in ("text", "image_url"))
    if first["type"] == "extra_forbidden":
        return RequestRefusedError(
            f"{param} is not supported here", param=param, code="unsupported"
        )
    if first["type"] == "literal_error" and place[0].endswith(("penalty", "logprobs", "stop")):
        return RequestRefusedError(
            f"{param} is not supported here", param=param, code="unsupported"
        )
    return RequestRefusedError(f"{param}: {first['msg']}", param=param)
