"""What a person is shown of a run while it trains, and at its end; no hook and no clock of its own.

phase 12 of 50 ━━━━━━━━━━──────────────────────── train rollouts 96 of 256  about 4 min left
reward 0.612  accuracy 55.1 %  hits 71.0 %  val 48.0 % after 10  best phase 10
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from rich.console import Console, ConsoleOptions, RenderResult
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from vigorl.terminal import duration

_WINDOW = 20  # phases, whose mean says how long one takes
_VAL = ("val", "val hits")
_SHARES = ("accuracy", "hits", *_VAL)
# name in a metric's report: what it is called here
TRAIN = {
    "reward/total": "reward",
    "rollout/accuracy": "accuracy",
    "rollout/zoom_hit_frac": "hits",
}
VAL = {"val/accuracy": _VAL[0], "val/zoom_hit_frac": _VAL[1]}


@dataclass
class ProgressView:
    """Numbers of a run so far.

    Args:
        total: Phases or epochs.
        done: Those that a resumed run had done before.
        unit: "phase" or "epoch".
        clock: In seconds.
    """

    total: int
    done: int = 0
    unit: str = "phase"
    clock: Callable[[], float] = time.monotonic
    doing: str = "starts"
    best: int | None = None
    is_flat: bool = False  # no group of the last phase has a right and a wrong answer
    history: dict[str, list[tuple[int, float]]] = field(default_factory=dict)
    durations: deque[float] = field(default_factory=lambda: deque(maxlen=_WINDOW))

    def __post_init__(self) -> None:
        self.began = self.mark = self.clock()
        self.num_before = self.done

    def note(self, number: int, metrics: Mapping[str, float], names: Mapping[str, str]) -> None:
        """Keep those of the metrics that have a name here, as of a phase's number."""
        for key, name in names.items():
            if key in metrics:
                self.history.setdefault(name, []).append((number, metrics[key]))

    def finish_one(self) -> None:
        """A phase, with its evaluation, is done."""
        now = self.clock()
        self.durations.append(now - self.mark)
        self.mark, self.done = now, self.done + 1

    @property
    def left_s(self) -> float | None:
        """Until the end; None before the first phase is done."""
        if not self.durations:
            return None
        mean = sum(self.durations) / len(self.durations)
        return max(mean * (self.total - self.done) - (self.clock() - self.mark), 0.0)

    def numbers(self) -> str:
        """The latest of each; of evaluations, after how many phases."""
        latest = {name: values[-1] for name, values in list(self.history.items())}
        parts = [f"{name} {_said(name, latest[name][1])}" for name in latest if name not in _VAL]
        parts += [
            f"val {_said('val', value)} after {number}"
            for number, value in (latest[name] for name in _VAL[:1] if name in latest)
        ]
        if self.best is not None:
            parts.append(f"best {self.unit} {self.best}")
        return "  ".join(parts)

    def line(self) -> str:
        """For a log: the latest numbers, how long the last phase took, and when the run ends."""
        left = self.left_s
        pace = f"{self.durations[-1]:.1f} s" if self.durations else ""
        end = "" if left is None or self.done == self.total else f", about {duration(left)} left"
        text = f"{self.unit} {self.done} of {self.total}  {self.numbers()}  {pace}{end}"
        flat = (
            "  no group has right and wrong answers: little to learn from" if self.is_flat else ""
        )
        return text.rstrip() + flat

    def judged(self) -> str:
        """Of a screen's latest evaluation, one line that stays."""
        found = {name: self.history[name][-1][1] for name in _VAL if name in self.history}
        values = "  ".join(f"{name} {_said(name, value)}" for name, value in found.items())
        return f"after {self.done} of {self.total}  {values}"

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        left = self.left_s
        end = "" if left is None else f"about {duration(left)} left"
        grid = Table.grid(expand=True, padding=(0, 1))
        grid.add_column(no_wrap=True)
        grid.add_column(ratio=1)
        grid.add_column(no_wrap=True, min_width=25)  # else the bar would jump
        grid.add_column(no_wrap=True, justify="right")
        grid.add_row(
            f"{self.unit} {min(self.done + 1, self.total)} of {self.total}",
            ProgressBar(total=max(self.total, 1), completed=self.done),
            self.doing,
            Text(end, style="green"),
        )
        yield grid
        if self.history:
            yield Text(self.numbers(), style="bold", no_wrap=True, overflow="ellipsis")

    def table(self) -> Table:
        """First, last and best of each number, with the phase that it is of."""
        table = Table(box=None, padding=(0, 3, 0, 0), header_style="bold")
        for name in ("", "first", "last", "best"):
            table.add_column(name, no_wrap=True)
        for row in self.rows():
            table.add_row(*row)
        return table

    def rows(self) -> Iterator[tuple[str, ...]]:
        """(name, first, last, best) of each number, with the phases they are of."""
        for name, values in sorted(self.history.items(), key=lambda one: one[0] in _VAL):
            best = (min if name in ("loss", "val nll") else max)(values, key=lambda one: one[1])
            said = [
                f"{_said(name, value)} ({number})"
                for number, value in (values[0], values[-1], best)
            ]
            yield (name, *said)

    def summary(self) -> str:
        """How many, how long."""
        num, spent = self.done - self.num_before, self.clock() - self.began
        each = f", {spent / num:.1f} s each" if num else ""
        of = "" if self.done == self.total else f" of {self.total}"
        units = self.unit if self.done == self.total == 1 else f"{self.unit}s"
        return f"{self.done}{of} {units} in {duration(spent)}{each}"


def _said(name: str, value: float) -> str:
    return f"{100 * value:.1f} %" if name in _SHARES else f"{value:.3f}"
