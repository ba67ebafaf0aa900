from __future__ import annotations

import logging
import sys

import pytest
from rich.console import Console

from vigorl.terminal import drawn, duration, screen


def test_what_is_logged_before_and_meanwhile_goes_through_what_is_drawn(
    capsys: pytest.CaptureFixture[str],
) -> None:
    handler, root = logging.StreamHandler(sys.stdout), logging.getLogger()
    before = sys.stdout
    root.addHandler(handler)
    try:
        console = Console(file=sys.stdout, force_terminal=True, width=40)
        with drawn(console, "a bar"):
            assert handler.stream is sys.stdout is not before
            logging.getLogger("some.library").warning("odd")
            print("a line")
    finally:
        root.removeHandler(handler)
    assert handler.stream is sys.stdout is before
    shown = capsys.readouterr().out
    assert shown.index("odd") < shown.index("a line") < shown.rindex("\x1b[?25h")


def test_a_pipe_is_no_screen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")  # CI asks for colours in its logs
    assert screen() is None


def test_durations_are_rounded_to_what_a_person_wants_to_know() -> None:
    assert [duration(s) for s in (40, 700, 12600)] == ["40 s", "12 min", "3.5 h"]
