"""Tools that somebody else defines: their arguments are settings, read by kind and written as the
other side expects them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from vigorl.core.errors import ConfigError
from vigorl.core.geometry import Size
from vigorl.core.media import ImageView
from vigorl.core.protocols import Argument, ArgumentKind, Scene, ToolError
from vigorl.rollout.tools.arguments import (
    LARGEST_COORDINATE,
    read_box,
    read_number,
    read_picture,
    read_point,
    read_text,
)
from vigorl.rollout.tools.sent import Sent

KINDS = ("point", "box", "index", "number", "text")
_MOST_TEXT = 8000  # characters


def declared(arguments: Mapping[str, str], *, optional: Sequence[str], key: str) -> list[Argument]:
    """What the policy is told of them.

    Args:
        arguments: Kind by name, in the order in which a call is written.
        optional: Those that a call may leave out.
        key: Of the settings, for errors.
    Raises:
        ConfigError: A kind or an optional name that there is not.
    """
    for name, kind in arguments.items():
        if kind not in KINDS:
            raise ConfigError(f"{key}.arguments.{name}={kind!r} must be one of {', '.join(KINDS)}")
    for name in set(optional) - set(arguments):
        raise ConfigError(f"{key}.optional names {name!r}, which is none of {list(arguments)}")
    return [
        Argument(name, ArgumentKind(kind), is_optional=name in optional)
        for name, kind in arguments.items()
    ]


def target_of(
    arguments: Mapping[str, object], spec: Sequence[Argument], *, scene: Scene
) -> ImageView:
    """The picture that a call is about: its first INDEX, else the first of the dialog.

    Raises:
        ToolError: There is none of that index.
    """
    names = [one.name for one in spec if one.kind is ArgumentKind.INDEX]
    return scene[read_picture(arguments, names[0], scene=scene) if names else 0]


def written(
    arguments: Mapping[str, object], spec: Sequence[Argument], *, target: ImageView, size: Size
) -> dict[str, Any]:
    """The values of a call, all but indices: places in pixels of the target as the other side has
    it, which is `size`.

    Raises:
        ToolError: One is missing, or is none of its kind.
    """
    sent = Sent(replace(target), most_pixels=size.width * size.height)
    values: dict[str, Any] = {}
    for one in spec:
        if one.kind is ArgumentKind.INDEX or (one.is_optional and one.name not in arguments):
            continue
        if one.kind is ArgumentKind.POINT:
            value: Any = sent.to_sent(read_point(arguments, one.name, image=target))
        elif one.kind is ArgumentKind.BOX:
            value = sent.box_to_sent(read_box(arguments, one.name, image=target))
        elif one.kind is ArgumentKind.NUMBER:
            low, high = -LARGEST_COORDINATE, LARGEST_COORDINATE
            value = read_number(arguments, one.name, low=low, high=high)
        else:
            value = read_text(arguments, one.name, most=_MOST_TEXT)
        values[one.name] = value
    return values


def required(arguments: Mapping[str, object], spec: Sequence[Argument]) -> None:
    """Refuse a call that leaves out what it may not.

    Raises:
        ToolError: As said.
    """
    for one in spec:
        if not one.is_optional and one.name not in arguments:
            raise ToolError(f'The tool call has no "{one.name}" argument.')
