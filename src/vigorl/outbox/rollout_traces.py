"""Recorded rollouts as MLflow traces: a span tree with its pictures and crops.

    rollout                what was asked, and the answer
      turn 1               what the policy wrote
        zoom               the call, and the observation with its crop; red where it was refused
      turn 2
      probe: crop_black    what a probe has found
      reward               the parts, and what a unit of each counts

The same rollout of the same run always gets the same ids, so one that is sent again replaces
itself. A trace's clock is not time, which no record keeps of a turn: one millisecond is one token,
so that the timeline shows where the tokens went.
"""

from __future__ import annotations

import hashlib
import io
import json
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import islice
from typing import Any, Literal
from urllib.parse import urlencode

from mlflow.entities import (
    AssessmentSource,
    Expectation,
    Feedback,
    Span,
    SpanType,
    TraceInfo,
    TraceState,
)
from mlflow.entities.trace_location import TraceLocation
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository
from mlflow.tracing.client import TracingClient
from mlflow.tracing.constant import SpanAttributeKey, TraceMetadataKey, TraceTagKey
from mlflow.tracing.utils.artifact_utils import get_artifact_uri_for_trace
from mlflow.tracking import MlflowClient
from PIL import Image

from vigorl.core.errors import DataError
from vigorl.core.geometry import Size, fit_size
from vigorl.core.media import ImageView
from vigorl.core.metrics import is_right
from vigorl.core.rollout import Rollout, ScoredRollout, StopReason, Turn
from vigorl.core.trace import IMAGE_SLOT
from vigorl.data.pictures import open_source
from vigorl.rollout.recorder import RecordedRollout, rollout_from_json

_PER_REQUEST = 16
_MS = 1_000_000  # nanoseconds
_PICTURE = "image/jpeg"


@dataclass(frozen=True, slots=True)
class RecordedTraces:
    """Lines of a record of rollouts, to be shown as traces.

    Attributes:
        record: The JSONL file.
        lines: Which, from 0.
        at_ms: When they were recorded, Unix time.
        max_side_px: Larger pictures are shown smaller.
        max_kib: Most KiB of a trace's pictures; those beyond are left out.
    """

    record: str
    lines: Sequence[int]
    at_ms: int
    max_side_px: int = 448
    max_kib: int = 128
    kind: Literal["traces"] = "traces"

    def tell(self, client: MlflowClient, run_id: str) -> None:
        run, tracing = client.get_run(run_id), TracingClient(client.tracking_uri)
        found, jpegs = self._rollouts(), Jpegs(self.max_side_px)
        while batch := list(islice(found, _PER_REQUEST)):
            made = [
                traced(
                    one,
                    run_id=run_id,
                    experiment_id=run.info.experiment_id,
                    at_ms=self.at_ms,
                    jpegs=jpegs,
                    max_bytes=self.max_kib * 1024,
                )
                for one in batch
            ]
            kept = [tracing.start_trace(one.info) for one in made]
            tracing.log_spans(
                run.info.experiment_id, [Span.from_dict(span) for one in made for span in one.spans]
            )
            for one, info in zip(made, kept, strict=True):
                if one.pictures:
                    store = get_artifact_repository(
                        get_artifact_uri_for_trace(info), client.tracking_uri
                    )
                    for name, content in one.pictures.items():
                        store.upload_attachment(name, content)

    def _rollouts(self) -> Iterator[RecordedRollout]:
        wanted = set(self.lines)
        with open(self.record, encoding="utf-8") as file:
            for number, text in enumerate(file):
                if number in wanted:
                    read = rollout_from_json(text, path=self.record, line=number + 1)
                    if "\\ud" in text:
                        whole = json.dumps(json.loads(text), ensure_ascii=False)
                        read = rollout_from_json(_whole_characters(whole))
                    yield read


@dataclass(slots=True)
class Traced:
    """A trace on its way: `pictures` are JPEG files by the ids that its spans name."""

    info: TraceInfo
    spans: list[dict[str, Any]] = field(default_factory=list)
    pictures: dict[str, bytes] = field(default_factory=dict)


def traced(
    recorded: RecordedRollout,
    *,
    run_id: str,
    experiment_id: str,
    at_ms: int,
    jpegs: Jpegs,
    max_bytes: int,
) -> Traced:
    """The trace of a rollout.

    Args:
        recorded: The rollout.
        run_id: Of the MLflow run that made it.
        experiment_id: Of that run.
        at_ms: When it was recorded, Unix time.
        jpegs: Its pictures.
        max_bytes: Of all its pictures.
    """
    scored, phase = recorded.scored, recorded.phase
    rollout = scored.rollout
    name = f"{run_id}/{phase}/{rollout.group}/{rollout.index}"
    trace_id = f"tr-{hashlib.sha256(name.encode(errors='surrogatepass')).hexdigest()[:32]}"
    writer = _Writer(trace_id, at_ms, jpegs=jpegs, max_bytes=max_bytes)
    writer.rollout(scored)
    asked = _without_slots(rollout.task.question)
    kind = phase.partition("/")[0]
    info = TraceInfo(
        trace_id=trace_id,
        trace_location=TraceLocation.from_experiment_id(experiment_id),
        request_time=at_ms,
        state=TraceState.ERROR if rollout.stop_reason is StopReason.REFUSED else TraceState.OK,
        request_preview=asked[:1000],
        response_preview=(rollout.answer or f"no answer: {rollout.stop_reason}")[:1000],
        client_request_id=f"{phase}/{rollout.group}/{rollout.index}"[:50],
        execution_duration=writer.now_ms - at_ms,
        trace_metadata={
            TraceMetadataKey.SOURCE_RUN: run_id,
            TraceMetadataKey.TRACE_SESSION: f"{phase} {rollout.group}"[:250],
            TraceMetadataKey.TOKEN_USAGE: json.dumps(_usage(rollout)),
            "timeline": "1 ms is one token, not time",
        },
        tags={
            TraceTagKey.TRACE_NAME: f"{kind}: {'right' if is_right(rollout) else 'wrong'}",
            "run": run_id,
            "phase": phase,
            "group": rollout.group[:250],
            "index": str(rollout.index),
            "advantage": f"{scored.advantage:+.3f}",
            "right": "right" if is_right(rollout) else "wrong",
            "stop_reason": rollout.stop_reason.value,
            "turns": str(len(rollout.turns)),
            "task": rollout.task.id[:250],
        },
        assessments=_assessments(scored, trace_id, at_ms),
    )
    return Traced(info, writer.spans, writer.pictures)


def _assessments(scored: ScoredRollout, trace_id: str, at_ms: int) -> list[Any]:
    """What the UI draws a column of and compares between runs; telling them again adds none."""
    source = AssessmentSource("CODE", "vigorl")
    times: dict[str, Any] = {"create_time_ms": at_ms, "last_update_time_ms": at_ms}
    values: dict[str, Any] = {
        "right": is_right(scored.rollout),
        "score": scored.rollout.score,
        "reward": scored.reward.total,
        "advantage": scored.advantage,
    }
    made: list[Any] = [
        Feedback(name=name, value=value, source=source, trace_id=trace_id, **times)
        for name, value in values.items()
    ]
    answer = scored.rollout.task.answer
    made.append(Expectation(name="answer", value=answer, source=source, trace_id=trace_id, **times))
    for one in made:
        one.assessment_id = f"a-{_digest(trace_id, one.name)}"
    return made


def _digest(*names: str) -> str:
    return hashlib.sha256("/".join(names).encode(errors="surrogatepass")).hexdigest()[:32]


def _usage(rollout: Rollout) -> dict[str, int]:
    written = sum(len(turn.completion_ids) for turn in rollout.turns)
    total = len(rollout.token_ids)
    return {"input_tokens": total - written, "output_tokens": written, "total_tokens": total}


class Jpegs:
    """What views show, with the file's own pixels: the policy may have seen fewer.

    The rollouts of a group look at the same picture, which is opened once, and encoded once.

    Args:
        max_side_px: Larger pictures are shown smaller.
    """

    def __init__(self, max_side_px: int) -> None:
        self._max_side_px = max_side_px
        self._opened = lru_cache(maxsize=2)(open_source)
        self.of = lru_cache(maxsize=64)(self._encoded)

    def _encoded(self, view: ImageView) -> bytes:
        picture = self._opened(view.source)
        if view.box is not None:
            picture = picture.crop(view.box.as_tuple())
        size = fit_size(Size(*picture.size), self._max_side_px)
        made = io.BytesIO()
        shown = picture.resize((size.width, size.height), Image.Resampling.BICUBIC)
        shown.save(made, format="JPEG", quality=85)
        return made.getvalue()


class _Writer:
    """Spans in order, on a clock of tokens."""

    def __init__(self, trace_id: str, at_ms: int, *, jpegs: Jpegs, max_bytes: int) -> None:
        self.trace_id, self.now_ms = trace_id, at_ms
        self._jpegs, self._bytes_left = jpegs, max_bytes
        self.spans: list[dict[str, Any]] = []
        self.pictures: dict[str, bytes] = {}

    def rollout(self, scored: ScoredRollout) -> None:
        rollout, started = scored.rollout, self.now_ms
        task = rollout.task
        parts = [self._picture(view) for view in rollout.prompt_views]
        asked = {"role": "user", "content": [*parts, _text(_without_slots(task.question))]}
        root = self._open("rollout", SpanType.AGENT, None, {"messages": [asked]})
        self.now_ms += 1
        messages = [asked]
        for number, turn in enumerate(rollout.turns, start=1):
            messages = self._turn(turn, number, root, messages)
        for name, value in rollout.probes.items():
            span = self._open(f"probe: {name}", SpanType.EVALUATOR, root, {})
            self._close(span, {name: value})
        self._reward(scored, root)
        said = rollout.answer if rollout.answer is not None else f"({rollout.stop_reason})"
        self._close(root, _reply(said), usage=_usage(rollout), started=started)

    def _turn(
        self, turn: Turn, number: int, root: str, messages: list[dict[str, Any]]
    ) -> list[dict[str, Any]]:
        inputs = {"messages": messages}
        span = self._open(f"turn {number}", SpanType.CHAT_MODEL, root, inputs)
        self.now_ms += max(len(turn.completion_ids), 1)
        calls, problem = turn.parsed.tool_calls, turn.parsed.problem
        said: dict[str, Any] = {"role": "assistant", "content": turn.text}
        replied: dict[str, Any] | None = None
        if turn.observation or turn.tool_error or turn.views:
            name = _whole_characters(", ".join(call.name for call in calls)) or "tool"
            asked: dict[str, Any] = dict(calls[0].arguments) if calls else {}
            if len(calls) > 1:
                told = [{"name": call.name, "arguments": dict(call.arguments)} for call in calls]
                asked = {"calls": told}
            tool = self._open(name, SpanType.TOOL, span, asked)
            self.now_ms += max(len(turn.observation_ids), 1)
            shown = [self._picture(view) for view in turn.views]
            replied = {"role": "user", "content": [*shown, _text(_without_slots(turn.observation))]}
            found: dict[str, Any] = {"messages": [replied]}
            if turn.focus is not None and turn.focus.box is not None:
                found["shows_box_px"] = list(turn.focus.box.as_tuple())
            self._close(tool, found, error=turn.tool_error)
        usage = {
            "input_tokens": 0,
            "output_tokens": len(turn.completion_ids),
            "total_tokens": len(turn.completion_ids),
        }
        extra: dict[str, Any] = {} if problem is None else {"problem": problem.value}
        if turn.sampling_logprobs:
            extra["mean_logprob"] = sum(turn.sampling_logprobs) / len(turn.sampling_logprobs)
        self._close(span, {"choices": [{"message": said}]}, extra=extra, usage=usage)
        return [*messages, said, *([replied] if replied else [])]

    def _reward(self, scored: ScoredRollout, root: str) -> None:
        reward = scored.reward
        span = self._open("reward", SpanType.EVALUATOR, root, {"weights": dict(reward.weights)})
        found: dict[str, Any] = {
            "total": reward.total,
            "parts": dict(reward.parts),
            "advantage": scored.advantage,
        }
        if reward.turns:
            found["turns"] = list(reward.turns)
        if reward.missing:
            found["missing"] = list(reward.missing)
        self._close(span, found)

    def _open(self, name: str, kind: str, parent: str | None, inputs: Mapping[str, Any]) -> str:
        span_id = _digest(self.trace_id, str(len(self.spans)))[:16]
        self.spans.append(
            {
                "trace_id": self.trace_id,
                "span_id": span_id,
                "parent_span_id": parent or "",
                "name": name,
                "start_time_unix_nano": self.now_ms * _MS,
                "end_time_unix_nano": self.now_ms * _MS,
                "status": {"code": "OK", "message": ""},
                "events": [],
                "attributes": {
                    SpanAttributeKey.REQUEST_ID: json.dumps(self.trace_id),
                    SpanAttributeKey.SPAN_TYPE: json.dumps(kind),
                    SpanAttributeKey.INPUTS: json.dumps(inputs),
                },
            }
        )
        return span_id

    def _close(
        self,
        span_id: str,
        outputs: Mapping[str, Any],
        *,
        error: str = "",
        usage: Mapping[str, int] | None = None,
        extra: Mapping[str, Any] | None = None,
        started: int | None = None,
    ) -> None:
        (span,) = (one for one in self.spans if one["span_id"] == span_id)
        self.now_ms += started is None and span["start_time_unix_nano"] == self.now_ms * _MS
        span["end_time_unix_nano"] = self.now_ms * _MS
        attributes = span["attributes"]
        attributes[SpanAttributeKey.OUTPUTS] = json.dumps(outputs)
        for name, value in (extra or {}).items():
            attributes[name] = json.dumps(value)
        if usage is not None and started is None:
            attributes[SpanAttributeKey.CHAT_USAGE] = json.dumps(usage)
        if error:
            span["status"] = {"code": "ERROR", "message": error}

    def _picture(self, view: ImageView) -> dict[str, Any]:
        """A part of a message; a line instead where there is no room, or no picture."""
        try:
            content = self._jpegs.of(view)
        except DataError as error:
            return _text(f"[{error}]")
        if len(content) > self._bytes_left:
            return _text("[picture left out: callbacks.traces.max_kib]")
        name = str(uuid.uuid5(uuid.NAMESPACE_OID, f"{self.trace_id}/{view.key}"))
        if name not in self.pictures:
            self._bytes_left -= len(content)
            self.pictures[name] = content
        said = {"content_type": _PICTURE, "trace_id": self.trace_id, "size": str(len(content))}
        url = f"mlflow-attachment://{name}?{urlencode(said)}"
        return {"type": "image_url", "image_url": {"url": url}}


def _without_slots(text: str) -> str:
    """Pictures stand before the words."""
    return text.replace(IMAGE_SLOT, "").strip()


def _whole_characters(text: str) -> str:
    """A policy may write "\\ud83d", which no store takes."""
    return text.encode(errors="replace").decode()


def _text(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text}


def _reply(text: str) -> dict[str, Any]:
    return {"choices": [{"message": {"role": "assistant", "content": text}}]}
