"""A model behind an endpoint, for the checks of VisualWebArena that rules cannot make.

The benchmark asks gpt-4-1106-preview whether two answers, or two reasons, are the same, in these
words, and BLIP-2 what a picture shows. Any endpoint can be asked here; its model is part of the
protocol, for another one gives another score. A reply is asked for once and kept,
with a `cache` also for later runs.
Source of the questions: web-arena-x/visualwebarena@89f5af2, evaluation_harness/helper_functions.py
(MIT).
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from PIL import Image

from vigorl.core.errors import ConfigError, DataError, EngineError
from vigorl.evaluation.web.text_rules import includes
from vigorl.rollout.judge import ChatJudge, Judge, JudgePrompt
from vigorl.rollout.recorder import cut_torn_line

_SAME_ANSWER = (
    "Help a teacher to grade the answer of a student given a question. Keep in mind that the "
    "student may use different phrasing or wording to answer the question. The goal is to evaluate "
    "whether the answer is semantically equivalent to the reference answer.\n"
    "question: {question}\n"
    "reference answer: {reference}\n"
    "all the string 'N/A' that you see is a special sequence that means 'not achievable'\n"
    "student answer: {answer}\n"
    "Conclude the judgement by 'correct', 'incorrect', or 'partially correct'. Only output one of "
    "these options, and nothing else."
)
_SAME_REASON = (
    "task: {question}\n"
    "actual unachievable reason: {reference}\n"
    "reported unachievable reason: {answer}\n"
    "The task described above is inherently unachievable due to the reason specified under 'actual "
    "unachievable reason'. An individual previously attempted this task and was unable to complete "
    "it. They provided a reason for their failure, which is listed under 'reported unachievable "
    "reason'. Your role is to review both the actual and reported reasons. Determine if the "
    "reported reason aligns with the actual reason, even if implicitly. If the stated reason is in "
    "line with the actual reason, respond with 'same'. Otherwise, respond with 'different'."
)
_ON_PICTURE = "<image>{question} Answer with a word or a number, and nothing else."


@dataclass(frozen=True, kw_only=True)
class WebJudge:
    """Where the judge is.

    Attributes:
        urls: Base URLs of servers of one model, such as https://api.example.com.
        model: Its name; part of the protocol.
        api_key_env: Environment variable with the API key; None sends none.
        timeout_s: For one reply.
        cache: JSON lines of replies, made where it is not there; None keeps them for this run.
    Raises:
        ConfigError: It names no endpoint.
        DataError: The cache is not of replies; names file and line.
    """

    urls: Sequence[str]
    model: str
    api_key_env: str | None = None
    timeout_s: float = 120.0
    cache: str | None = None
    _replies: dict[str, str] = field(default_factory=dict, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not self.urls or not self.model:
            raise ConfigError("data.judge needs urls and model")
        if self.cache and Path(self.cache).is_file():
            cut_torn_line(Path(self.cache))
            self._replies.update(_read(Path(self.cache)))

    @cached_property
    def judge(self) -> Judge:
        return ChatJudge(
            list(self.urls), model=self.model, api_key_env=self.api_key_env,
            timeout_s=self.timeout_s, section="data.judge",
        )  # fmt: skip

    def is_same_answer(self, answer: str, *, reference: str, question: str) -> bool:
        """Whether an answer means the same as the reference; partly is not."""
        fields = {"answer": answer, "reference": reference, "question": question}
        reply = self._reply(_SAME_ANSWER.format(**_without_slots(fields))).lower()
        return "correct" in reply and "incorrect" not in reply and "partially" not in reply

    def is_same_reason(self, answer: str, *, reference: str, question: str) -> bool:
        """Whether an answer says why a task cannot be done."""
        fields = {"answer": answer, "reference": reference, "question": question}
        reply = self._reply(_SAME_REASON.format(**_without_slots(fields))).lower()
        return "same" in reply and "different" not in reply

    def sees(self, answer: str, *, question: str, pictures: Sequence[bytes]) -> bool:
        """Whether the question has this answer about one of the pictures, which are files."""
        asked = _ON_PICTURE.format(**_without_slots({"question": question}))
        return any(includes(self._reply(asked, picture), answer) for picture in pictures)

    def _reply(self, text: str, picture: bytes = b"") -> str:
        key = hashlib.sha256(f"{self.model}\n{text}\n".encode() + picture).hexdigest()
        if key not in self._replies:
            draw = (lambda: [Image.open(io.BytesIO(picture)).convert("RGB")]) if picture else None
            try:
                reply = self.judge.submit(JudgePrompt(text, draw)).result()
            except EngineError as error:
                raise EngineError(f"data.judge ({self.model}): {error}") from error
            self._keep(key, reply)
        return self._replies[key]

    def _keep(self, key: str, reply: str) -> None:
        self._replies[key] = reply
        if self.cache:
            Path(self.cache).parent.mkdir(parents=True, exist_ok=True)
            with Path(self.cache).open("a", encoding="utf-8") as file:
                file.write(json.dumps({"key": key, "model": self.model, "reply": reply}) + "\n")


def _read(path: Path) -> Iterator[tuple[str, str]]:
    """Replies by their keys."""
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        try:
            found = json.loads(line)
            yield str(found["key"]), str(found["reply"])
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(f"no reply of a judge: {error!r}", path=path, line=number) from error


def _without_slots(fields: dict[str, str]) -> dict[str, str]:
    """What pages and policies have written, in which no `<image>` stands for a picture."""
    return {key: value.replace("<image>", "[image]") for key, value in fields.items()}
