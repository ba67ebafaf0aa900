"""What zoom tools share: reading numbers that a policy wrote, and sizing the view it gets back.

Sentences here go to the policy as observations. They name keys and numbers but never echo its
text: an echoed image slot or chat token would change the dialog's structure.
"""

from __future__ import annotations

from collections.abc import Mapping

from vigorl.core.errors import ConfigError
from vigorl.core.geometry import Box, Frame, Size
from vigorl.core.protocols import ToolError
from vigorl.core.records import ImageView

LARGEST_COORDINATE = 1e6  # beyond any picture; keeps integers of a thousand digits out of floats


def read_numbers(arguments: Mapping[str, object], key: str, *, count: int) -> list[float]:
    """The list of `count` numbers under `key`.

    Rounded to a thousandth, so that no later rounding moves an inside point onto the border.

    Raises:
        ToolError: The key is missing, or its value is not a list of that many ordinary numbers.
    """
    if key not in arguments:
        raise ToolError(f'The tool call has no "{key}" argument.')
    values = arguments[key]
    if not isinstance(values, list) or len(values) != count or not all(map(_is_number, values)):
        raise ToolError(f'The "{key}" argument must be a list of {count} numbers.')
    return [round(float(value), 3) for value in values]


def frame_size(frame: Frame, image: ImageView) -> Size:
    """The size that arguments written in `frame` refer to."""
    if frame is Frame.PERMILLE:
        return Size(1000, 1000)
    return image.size if frame is Frame.RESIZED else image.original


def view_size(window: Box, *, view_px: int, factor: int) -> Size:
    """The size to show a window at: longer side `view_px`, aspect kept to the nearest `factor`."""
    width, height = window.right - window.left, window.bottom - window.top
    scale = view_px / max(width, height)

    def side(length: float) -> int:
        return max(round(length * scale / factor), 1) * factor

    return Size(side(width), side(height))


def check_view_settings(*, window_px: int, view_px: int, factor: int) -> None:
    """Refuse settings that the image processor would silently round.

    Raises:
        ConfigError: A size is below 1, or `view_px` is not a multiple of `factor`.
    """
    if min(window_px, view_px, factor) < 1:
        raise ConfigError(
            f"window_px={window_px}, view_px={view_px} and factor={factor} must be at least 1"
        )
    if view_px % factor:
        nearest = max(round(view_px / factor), 1) * factor
        raise ConfigError(
            f"view_px={view_px} is not a multiple of {factor} (patch x merge); "
            f"the nearest is {nearest}"
        )


def _is_number(value: object) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return abs(value) <= LARGEST_COORDINATE  # false for NaN and infinity too
