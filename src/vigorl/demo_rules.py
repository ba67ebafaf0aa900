"""What the demo shows where `inference=` has a rule: the dialog that it chose, and the votes."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from vigorl.asking.asker import Asker, Talk, votes
from vigorl.asking.deciding import decide
from vigorl.core.records import TaskRecord
from vigorl.pages.dialog import render_votes


def opened(askers: Sequence[Asker], task: TaskRecord) -> tuple[list[Talk], list[str]]:
    """A dialog per model; where a rule chooses among several, the one it chose, and as HTML what it
    saw and the votes.

    Raises:
        VigorlError: As `Asker.open` and `decide`.
    """
    if not any(asker.decides for asker in askers):
        return [asker.open(task) for asker in askers], []
    found = [decide(asker, task) for asker in askers]
    bars = [
        render_votes(votes(one.candidates), right=task.answer)
        + f"<p>The rule: {escape(one.saw)}</p>"
        for one in found
    ]
    return [one.talk for one in found], bars
