"""A tool of a VerlTool server, as it is: the client's side of its protocol.

    python -m verl_tool.servers.serve --tool_type pixel_reasoner --port 5000     # theirs
    python -m vigorl.train env=visual_search_tools tools=[verltool] 'tools.verltool.urls=[...]'

    POST /get_observation {"trajectory_ids": [id], "actions": [text], "finish": [false],
                           "is_last_step": [false], "extra_fields": [{"images": [JPEG data URLs]}]}
    -> {"observations": [text or {"obs": text with <image>, "image": data URLs}], "dones", "valids"}

The server keeps a state per trajectory. A branch of a search is a trajectory of its own there: what
led to it is done again under its id as soon as it asks something that no other branch has asked,
so the tools must do the same when asked the same. When a dialog is forgotten, so is its state.

Left out: `reward`, a number that a few of its tools give.
Source: VerlTool, arXiv:2509.01055; TIGER-AI-Lab/verl-tool 980962b, verl_tool/servers/serve.py and
verl_tool/agent_loop/verltool_agent_loop.py.
"""

from __future__ import annotations

import base64
import io
import json
import re
import weakref
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import cached_property, partial
from threading import Lock
from typing import Annotated, Any
from uuid import uuid4

from PIL import Image

from vigorl.core.errors import ConfigError, EngineError
from vigorl.core.geometry import Size
from vigorl.core.media import ImageView
from vigorl.core.protocols import ArgumentKind, Observation, Scene, ToolError, ToolSpec
from vigorl.core.ranges import AtLeastOne, Count, Range
from vigorl.core.records import TaskRecord
from vigorl.core.trace import IMAGE_SLOT
from vigorl.data.pictures import keep_picture
from vigorl.rollout.engines.server_pool import TransientError
from vigorl.rollout.tools.arguments import refuse_unknown
from vigorl.rollout.tools.declared import declared, required, target_of, written
from vigorl.rollout.tools.outside import harmless
from vigorl.rollout.tools.sent import Sent
from vigorl.rollout.tools.service import (
    AsksService,
    Post,
    Question,
    digest_of,
    picture_of,
)

_INVALID = "The tool does not take this call."
_UNKNOWN = "This tool does not know that picture: it has those of the question and its own."


@dataclass(frozen=True, kw_only=True)
class VerlTool(AsksService):
    """One tool of the server; several of the same server are several of these.

    Attributes:
        urls: Of one server.
        folder: Where the pictures that it replies with are kept; equal ones share a file.
        purpose: What the policy is told that it is for, such as "a look at a part of a picture".
        reply: What it is told that the reply shows.
        arguments: Kind by name: point, box, index, number or text.
        optional: Those that a call may leave out.
        action: How a call is written for the server, with a field {NAME} per argument, such as
            "<search>{query}</search>"; "" writes JSON in <tool_call> tags.
        first_index: Of the pictures, as the server counts them.
        most_pixels: Of each picture that is sent.
        text_characters: Of a reply.
    Raises:
        ConfigError: Several servers, or a kind of argument that there is not.
    """

    folder: str
    purpose: str
    reply: str
    arguments: Mapping[str, str]
    optional: Sequence[str] = ()
    action: str = ""
    first_index: Count = 1
    most_pixels: Annotated[int, Range(ge=784, le=100_000_000)] = 2_000_000
    text_characters: AtLeastOne = 2000

    @cached_property
    def spec(self) -> ToolSpec:
        key = f"tools.{self.name}"
        arguments = declared(self.arguments, optional=self.optional, key=key)
        return ToolSpec(tuple(arguments), purpose=self.purpose, reply=self.reply)

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.urls) > 1:
            raise ConfigError(
                f"tools.{self.name}.urls names {len(self.urls)} servers: give one, which keeps the "
                "state of each dialog"
            )
        _ = self.spec

    def open(self, task: TaskRecord) -> _Open:
        return _Open(self)

    def written(self, values: Mapping[str, Any]) -> str:
        """A call as the server reads it."""
        if not self.action:
            call = {"name": self.name, "arguments": values}
            return f"<tool_call>{json.dumps(call)}</tool_call>"
        fields = "|".join(map(re.escape, self.arguments))  # all at once: a value may look like one
        return re.sub(rf"{{({fields})}}", lambda one: str(values.get(one[1], "")), self.action)


@dataclass(eq=False)
class _Trajectory:
    """The state that the server has of a dialog; used by one thread at a time."""

    tool: VerlTool
    id: str = field(default_factory=lambda: uuid4().hex)
    told: tuple[str, ...] = ()  # actions that the server has carried out under this id
    lock: Lock = field(default_factory=Lock)

    def ask(self, actions: tuple[str, ...], pictures: Sequence[Image.Image], post: Post) -> Any:
        """The answer to the last of some actions; those that the server does not know come first.

        After a failure nobody knows what it has done: it is told all of it under another id.
        """
        with self.lock:
            if self.told != actions[:-1][: len(self.told)]:
                self._begin_anew()  # it has done what is asked, or what no dialog has asked
            urls, answer = list(map(_jpeg_url, pictures)), None
            try:
                for action in actions[len(self.told) :]:
                    answer = post("/get_observation", _body(self.id, action, images=urls))
                    self.told = (*self.told, action)
            except (TransientError, EngineError):
                self._begin_anew()
                raise
        return answer

    def forget(self) -> None:
        body = _body(self.id, "", is_over=True)
        self.tool.service.send(lambda post: post("/get_observation", body), key=self.id)

    def _begin_anew(self) -> None:
        if self.told:
            self.forget()
        self.id, self.told = uuid4().hex, ()


class _Open:
    """The tool in a dialog.

    Attributes:
        known: The pictures that the server has, by key, each with its size there; in its order.
    """

    def __init__(self, tool: VerlTool, before: _Open | None = None) -> None:
        self._tool, self._trajectory = tool, _Trajectory(tool)
        self._pictures = before._pictures if before else ()
        self._actions = before._actions if before else ()
        self._known: tuple[tuple[str, Size], ...] = before._known if before else ()
        self._is_asked = False
        weakref.finalize(self, _forget, self._trajectory).atexit = False

    def fork(self) -> _Open:
        return _Open(self._tool, self)

    def ask_ahead(self, arguments: Mapping[str, object], *, scene: Scene) -> Future[Any] | None:
        if self._is_asked:  # the second of a turn, about what the first does
            return None
        question, _ = self._question(arguments, scene)
        self._is_asked = True
        return self._tool.service.ask(question)

    def call(self, arguments: Mapping[str, object], *, scene: Scene) -> Observation:
        self._is_asked = False
        question, actions = self._question(arguments, scene)
        said = self._tool.service.answer(question, _read)
        self._actions = actions
        return self._reply(said, like=scene.first)

    def _question(
        self, arguments: Mapping[str, object], scene: Scene
    ) -> tuple[Question, tuple[str, ...]]:
        tool, spec = self._tool, self._tool.spec.arguments
        refuse_unknown(arguments, tool.spec)
        required(arguments, spec)
        if not self._known:
            sent = [Sent(view, tool.most_pixels) for view in scene.views]
            self._pictures = tuple(one.picture for one in sent)
            self._known = tuple((_key(one.view), one.size) for one in sent)
        target = target_of(arguments, spec, scene=scene)
        keys = [key for key, _ in self._known]
        if _key(target) not in keys:
            raise ToolError(_UNKNOWN)
        number = keys.index(_key(target))
        values = written(arguments, spec, target=target, size=self._known[number][1])
        for one in spec:
            if one.kind is ArgumentKind.INDEX:
                values[one.name] = number + tool.first_index
        ordered = {one.name: values[one.name] for one in spec if one.name in values}
        actions = (*self._actions, tool.written(ordered))
        digest = digest_of("verltool", list(actions), pictures=self._pictures)
        ask = partial(self._trajectory.ask, actions, self._pictures)
        return Question(digest, ask), actions

    def _reply(self, said: _Said, *, like: ImageView) -> Observation:
        views = [self._view(picture, like) for picture in said.pictures]
        most = self._tool.text_characters
        if not said.is_valid and not said.is_done:
            raise ToolError(harmless(said.text, most=most).strip() or _INVALID)
        pieces = said.text.split(IMAGE_SLOT, len(views))
        parts: list[str | ImageView] = []
        for piece, view in zip(pieces, [*views, None], strict=False):
            parts += [harmless(piece, most=most)] if piece.strip() else []
            parts += [view] if view is not None else []
        parts += views[len(pieces) :]  # those without a slot
        return Observation(tuple(parts or [_INVALID]), is_done=said.is_done)

    def _view(self, picture: Image.Image, like: ImageView) -> ImageView:
        size = Size(*picture.size)
        stored = keep_picture(picture, self._tool.folder)
        view = ImageView(stored, size, size, frame=like.frame)
        self._known = (*self._known, (_key(view), size))
        return view


@dataclass(frozen=True, slots=True)
class _Said:
    text: str
    pictures: list[Image.Image]
    is_done: bool
    is_valid: bool


def _read(answer: Any) -> _Said:
    seen, is_done = answer["observations"][0], bool(answer["dones"][0])
    text, urls = (seen, []) if isinstance(seen, str) else (seen["obs"], seen.get("image") or [])
    if not isinstance(text, str):
        raise TypeError(text)
    urls = [urls] if isinstance(urls, str) else urls
    pictures = [picture_of(url).convert("RGB") for url in urls]
    return _Said(text, pictures, is_done, bool(answer["valids"][0]))


def _key(view: ImageView) -> str:
    """The name of what a view shows, whatever its size and marks."""
    return f"{view.unmarked.key}|{view.box}"


def _body(
    id: str, action: str, *, images: Sequence[str] = (), is_over: bool = False
) -> dict[str, Any]:
    return {
        "trajectory_ids": [id],
        "actions": [action],
        "finish": [is_over],
        "is_last_step": [is_over],
        "extra_fields": [{"images": list(images)} if images else {}],
    }


def _forget(trajectory: _Trajectory) -> None:
    if trajectory.told:
        trajectory.forget()


def _jpeg_url(picture: Image.Image) -> str:
    """As the server reads pictures; it takes no other kind."""
    file = io.BytesIO()
    picture.copy().save(file, "JPEG", quality=95)  # as of `png_url`
    return "data:image/jpeg;base64," + base64.b64encode(file.getvalue()).decode()
