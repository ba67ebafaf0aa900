"""A run's progress in a notebook: one output of the cell, which changes while the run trains."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from rich.console import Console

from vigorl.callbacks.progress_view import ProgressView
from vigorl.pages.curves import Curve, Plot, plot_of
from vigorl.pages.run_card import render_run_card
from vigorl.terminal import duration

_LEAST_S = 0.5  # between two drawings
# title: (name in the key, name in the view's history) of each curve
_CURVES = {
    "accuracy": [("rollouts", "accuracy"), ("evaluation", "val")],
    "zooms that hit": [("rollouts", "hits"), ("evaluation", "val hits")],
    "reward": [("rollouts", "reward")],
    "loss": [("training", "loss"), ("evaluation", "val nll")],
}


class NotebookView:
    """Draws a view as the output of the cell that trains, and again when it has changed.

    Args:
        view: What to draw.
        clock: In seconds.
    """

    def __init__(self, view: ProgressView, *, clock: Callable[[], float] = time.monotonic) -> None:
        from IPython.display import display  # there is one where there is a notebook

        self._view, self._clock, self._drawn_at = view, clock, clock()
        self._output: Any = display(self._html(), display_id=True)

    def draw(self, *, at_once: bool = False, below: str = "") -> None:
        """Draw it as it is now, unless that was done just before.

        Args:
            at_once: Draw in any case.
            below: Where the run's files are, at its end.
        """
        if at_once or self._clock() - self._drawn_at >= _LEAST_S:
            self._drawn_at = self._clock()
            self._output.update(self._html(below))

    def _html(self, below: str = "") -> Any:
        from IPython.display import HTML

        view, left = self._view, self._view.left_s
        if below:
            about = view.summary()
        else:
            about = view.doing + (f", about {duration(left)} left" if left else "")
        title = f"{view.unit} {min(view.done + 1, view.total)} of {view.total}"
        rows = list(view.rows()) if view.history else []
        card = render_run_card(
            "trained" if below else title,
            about,
            share=None if below else view.done / max(view.total, 1),
            rows=rows,
            plots=plots_of(view),
            below=below,
        )
        return HTML(card)


def plots_of(view: ProgressView) -> list[Plot]:
    """The curves that have two points at least."""
    plots = []
    for title, named in _CURVES.items():
        curves = [
            Curve(name, tuple((float(at), value) for at, value in view.history[key]), colour=colour)
            for colour, (name, key) in enumerate(named)
            if key in view.history
        ]
        if any(len(one.points) > 1 for one in curves):
            is_share = title in ("accuracy", "zooms that hit")
            plots.append(plot_of(title, curves, is_share=is_share))
    return [one for one in plots if one is not None]


def is_notebook() -> bool:
    """Whether what is displayed stands in a notebook's cell."""
    return Console().is_jupyter
