"""A run in a notebook's cell: its numbers and first curves, while it trains and afterwards.

    card = render_run_card("phase 4 of 5", "update 1 of 2", share=0.6, rows=rows, plots=plots)

A notebook's own colours are not known, so a card is dark on white in all of them.
"""

from __future__ import annotations

from collections.abc import Sequence

from vigorl.pages.curves import Plot
from vigorl.pages.html import render


def render_run_card(
    title: str,
    about: str,
    *,
    share: float | None = None,
    rows: Sequence[Sequence[str]] = (),
    plots: Sequence[Plot] = (),
    below: str = "",
) -> str:
    """A piece of HTML that stands in a cell among others.

    Args:
        title: Names the run.
        about: What it is at, or how it ended.
        share: Done, in [0, 1]; None draws no bar.
        rows: (name, first, last, best) of each number.
        plots: Its curves.
        below: Where its files are.
    """
    return render(
        "run_card.html.jinja",
        title=title,
        about=about,
        share=share,
        rows=rows,
        plots=plots,
        below=below,
    )
