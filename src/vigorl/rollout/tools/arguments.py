"""What tools share: reading the arguments that a policy wrote, and how large a part is shown.

Sentences here go to the policy as observations. They name keys and numbers but never echo its
text: an echoed image slot or chat token would change the dialog's structure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeGuard

from vigorl.core.errors import ConfigError
from vigorl.core.geometry import Box, Point, Size
from vigorl.core.media import ImageView
from vigorl.core.protocols import Argument, ArgumentKind, Scene, ToolError, ToolSpec

PICTURE = Argument("picture", ArgumentKind.INDEX, is_optional=True)  # the first where left out
LARGEST_COORDINATE = 1e6  # beyond any picture; keeps integers of a thousand digits out of floats


def refuse_unknown(arguments: Mapping[str, object], spec: ToolSpec) -> None:
    """Refuse arguments that the tool does not have; for tools with some that may be left out, of
    which a misspelt one would be left out without a word.

    Raises:
        ToolError: There is one; names those there are.
    """
    known = [argument.name for argument in spec.arguments]
    if not arguments.keys() <= set(known):
        raise ToolError(f"The tool call has an unknown argument; there are {', '.join(known)}.")


def read_point(arguments: Mapping[str, object], key: str, *, image: ImageView) -> Point:
    """The ORIGINAL-frame place of a point [x, y] that is written in the text frame of `image`.

    Raises:
        ToolError: The key is missing, its value is no point, or the point is off the picture.
    """
    point = Point(*read_numbers(arguments, key, count=2))
    if not image.holds(point):
        raise ToolError(
            f"The point ({point.x:g}, {point.y:g}) is outside the image, {_extent(image)}."
        )
    return image.to_original(point)


def read_box(arguments: Mapping[str, object], key: str, *, image: ImageView) -> Box:
    """The ORIGINAL-frame box of [x1, y1, x2, y2], written in the text frame of `image`.

    Raises:
        ToolError: The key is missing, its value is no box, or the box is not on the picture.
    """
    left, top, right, bottom = read_numbers(arguments, key, count=4)
    if not (left < right and top < bottom):
        raise ToolError(f'The "{key}" argument must be [x1, y1, x2, y2] with x1 < x2 and y1 < y2.')
    box = Box(left, top, right, bottom)
    if not box.is_inside(image.text_size):
        raise ToolError(
            f"The box ({left:g}, {top:g}, {right:g}, {bottom:g}) is not inside the image, "
            f"{_extent(image)}."
        )
    return image.box_to_original(box)


def read_boxes(arguments: Mapping[str, object], key: str, *, image: ImageView) -> list[Box]:
    """The ORIGINAL-frame boxes of a list [[x1, y1, x2, y2], ...], at least one.

    Raises:
        ToolError: As `read_box`, of any of them.
    """
    values = _given(arguments, key)
    if not isinstance(values, list) or not values:
        raise ToolError(f'The "{key}" argument must be a list of boxes.')
    return [read_box({key: value}, key, image=image) for value in values]


def read_points(arguments: Mapping[str, object], key: str, *, image: ImageView) -> list[Point]:
    """The ORIGINAL-frame places of a list of points [[x, y], ...], at least one.

    Raises:
        ToolError: As `read_point`, of any of them.
    """
    values = _given(arguments, key)
    if not isinstance(values, list) or not values:
        raise ToolError(f'The "{key}" argument must be a list of points.')
    return [read_point({key: value}, key, image=image) for value in values]


def read_picture(arguments: Mapping[str, object], key: str, *, scene: Scene) -> int:
    """The index of a picture of the scene; 0 where the call leaves it out.

    Raises:
        ToolError: It is no whole number, or there is no such picture.
    """
    index = arguments.get(key, 0)
    if isinstance(index, bool) or not isinstance(index, int):
        raise ToolError(f'The "{key}" argument must be a whole number.')
    scene[index]  # says which there are
    return index


def read_text(
    arguments: Mapping[str, object], key: str, *, choices: Sequence[str] = (), most: int = 1000
) -> str:
    """A text, stripped.

    Args:
        arguments: Of the call.
        key: Its name.
        choices: What it may be; none where it is free.
        most: Its most characters.
    Raises:
        ToolError: The key is missing, or its value is no text, empty, too long or none of these.
    """
    text = _given(arguments, key)
    if not isinstance(text, str) or not text.strip():
        raise ToolError(f'The "{key}" argument must be a text.')
    if choices and text.strip() not in choices:
        raise ToolError(f'The "{key}" argument must be one of {", ".join(choices)}.')
    if len(text) > most:
        raise ToolError(f'The "{key}" argument must have at most {most} characters.')
    return text.strip()


def read_label(arguments: Mapping[str, object], key: str) -> str:
    """A text that can be drawn: one line of printable characters, 60 at most.

    Raises:
        ToolError: As `read_text`, or it holds another character.
    """
    text = read_text(arguments, key, most=60)
    if not text.isprintable():
        raise ToolError(f'The "{key}" argument must be one line of printable characters.')
    return text


def read_number(arguments: Mapping[str, object], key: str, *, low: float, high: float) -> float:
    """A number from `low` to `high`, rounded to a thousandth.

    Raises:
        ToolError: The key is missing, or its value is no such number.
    """
    value = _given(arguments, key)
    if not _is_number(value) or not low <= float(value) <= high:
        raise ToolError(f'The "{key}" argument must be a number from {low:g} to {high:g}.')
    return round(float(value), 3)


def read_numbers(arguments: Mapping[str, object], key: str, *, count: int) -> list[float]:
    """The list of `count` numbers under `key`.

    Rounded to a thousandth, so that no later rounding moves an inside point onto the border.

    Raises:
        ToolError: The key is missing, or its value is not a list of that many ordinary numbers.
    """
    values = _given(arguments, key)
    if not isinstance(values, list) or len(values) != count or not all(map(_is_number, values)):
        raise ToolError(f'The "{key}" argument must be a list of {count} numbers.')
    return [round(float(value), 3) for value in values]


def view_size(window: Box, *, view_px: int) -> Size:
    """The size to show a window at: longer side `view_px`, aspect kept."""
    width, height = window.right - window.left, window.bottom - window.top
    scale = view_px / max(width, height)
    return Size(max(round(width * scale), 1), max(round(height * scale), 1))


def check_view_settings(*, window_px: int, view_px: int) -> None:
    """Refuse sizes that show nothing.

    Raises:
        ConfigError: A size is below 1.
    """
    if min(window_px, view_px) < 1:
        raise ConfigError(f"window_px={window_px} and view_px={view_px} must be at least 1")


def _given(arguments: Mapping[str, object], key: str) -> object:
    if key not in arguments:
        raise ToolError(f'The tool call has no "{key}" argument.')
    return arguments[key]


def _extent(image: ImageView) -> str:
    return f"which is {image.text_size.width} wide and {image.text_size.height} high"


def _is_number(value: object) -> TypeGuard[int | float]:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return abs(value) <= LARGEST_COORDINATE  # false for NaN and infinity too
