"""The pages of a run's folder: one for a phase, one for each of its groups, and the index.

RUN/index.html                              curves, phases, groups, failures, lengths
RUN/rollouts/train_phase_0025.html          a phase: some of its groups, with all their rollouts
RUN/rollouts/train_phase_0025_group_1.html  a group: its rollouts side by side, token by token
RUN/../index.html                           all stages in a row, of a run that has some
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from vigorl.core import metrics_file
from vigorl.core.files import written_whole
from vigorl.core.metrics_file import MetricsFile, MetricsLine, read_metrics
from vigorl.core.rollout import ScoredRollout
from vigorl.core.stages_file import StageNote, StagesFile, read_stages
from vigorl.data.images import ImageStore
from vigorl.pages import phases
from vigorl.pages.group_view import Decode, TokenFacts, render_group_page
from vigorl.pages.phases import (
    PageLinks,
    SummaryFile,
    example_of,
    group_line,
    lead_to,
    links_of,
    neighbours,
)
from vigorl.pages.rollouts import (
    WIDEST_BEST_AND_WORST,
    WORST_AND_BEST,
    render_rollout_page,
)
from vigorl.pages.run_index import StageLine, render_run_index, render_stages

INDEX = "index.html"
_MEASURED = metrics_file.NAME
_NUM_OF_EACH = 3  # best and worst

Key = tuple[str, int]  # a rollout's group and its index in it


@dataclass(frozen=True, slots=True)
class PhasePage:
    """What a phase's page shows.

    Attributes:
        name: Of its files, such as "train_phase_0003".
        words: Such as "phase 3".
        title: Above it.
        kind: "train" or "val".
        groups: To show.
        metrics: Of the whole phase.
        facts: What is known of tokens; empty: groups have no pages.
    """

    name: str
    words: str
    title: str
    kind: str
    groups: Sequence[Sequence[ScoredRollout]]
    metrics: Mapping[str, float]
    facts: Mapping[Key, TokenFacts] = field(default_factory=dict)

    @property
    def group_pages(self) -> list[str]:
        if not self.facts:
            return []
        return [f"{self.name}_group_{i}.html" for i in range(1, len(self.groups) + 1)]


@dataclass(frozen=True, slots=True)
class WrittenPage:
    """What the index says of a page."""

    name: str
    groups: tuple[phases.GroupLine, ...]
    examples: tuple[phases.Example, ...]


def write_phase_page(
    folder: Path, page: PhasePage, *, images: ImageStore, decode: Decode | None
) -> WrittenPage:
    """The page, those of its groups, and the way to it from the page before.

    Args:
        folder: RUN/rollouts.
        page: What to show.
        images: Where pictures come from.
        decode: From ids to text; None: groups have no pages.
    Raises:
        DataError: A picture cannot be read.
    """
    path, token_pages = folder / f"{page.name}.html", page.group_pages if decode else []
    text = render_rollout_page(
        page.groups,
        images=images,
        title=page.title,
        metrics=page.metrics,
        chosen=WIDEST_BEST_AND_WORST if page.kind == "train" else WORST_AND_BEST,
        links=links_of(path, index=f"../{INDEX}"),
        token_pages=token_pages,
    )
    _write(path, text)
    if decode is not None and token_pages:
        _write_groups(folder, page, images, decode)
    before, _ = neighbours(path)
    if before is not None:
        lead_to(before, path)
    return WrittenPage(path.name, _lines(page, token_pages), _examples(page, images))


class IndexPage:
    """RUN/index.html, and that of all stages where `base` is a folder around it; of what it shows
    each writing reads only what is new.

    Args:
        run: RUN.
        title: Names the run.
        base: Folder of all stages, or the run's own.
    """

    def __init__(self, run: Path, *, title: str, base: Path) -> None:
        self._run, self._title, self._base = run, title, base
        self._summaries = SummaryFile(run / "rollouts" / phases.NAME)
        self._metrics: dict[Path, MetricsFile] = {}  # of this stage and those beside it

    def write(self) -> None:
        """Write it anew.

        Raises:
            DataError: A line of metrics.jsonl or phases.jsonl cannot be read.
        """
        is_stage = self._base.resolve() in self._run.resolve().parents
        text = render_run_index(
            self._title,
            self._measured(self._run),
            self._summaries.read(),
            parent=f"../{INDEX}" if is_stage else "",
        )
        _write(self._run / INDEX, text)
        if is_stage:
            write_stages_page(self._base, title=self._title, read=self._measured)

    def _measured(self, run: Path) -> list[MetricsLine]:
        path = (run / metrics_file.NAME).resolve()
        return self._metrics.setdefault(path, MetricsFile(path)).read()


def write_stages_page(
    base: Path,
    *,
    title: str = "",
    read: Callable[[Path], Sequence[MetricsLine]] = lambda run: read_metrics(
        run / metrics_file.NAME
    ),
) -> None:
    """The page of all stages, by RUN/stages.json; of a run from before there was one, by its
    folders.

    Args:
        base: RUN, with a folder for each stage.
        title: Names the run where no file does.
        read: What a stage's folder has measured.
    Raises:
        DataError: A file cannot be read.
    """
    noted = read_stages(base)
    if noted is None:
        begun = [one for one in base.glob("*/config.yaml") if (one.parent / _MEASURED).is_file()]
        begun.sort(key=lambda one: (one.stat().st_mtime, one))
        names = [one.parent.name for one in begun]
        done = tuple(one for one in names if (base / one / "model").is_dir())
        noted = StagesFile(title, "", tuple(StageNote(one, "", "", "") for one in names), done)
    stages = [
        StageLine(
            one,
            state=_state(base / one.name, is_done=one.name in noted.done),
            href=f"{one.name}/{INDEX}" if (base / one.name / INDEX).is_file() else "",
            lines=read(base / one.name),
        )
        for one in noted.stages
    ]
    _write(base / INDEX, render_stages(noted.title, stages))


def _state(stage: Path, *, is_done: bool) -> str:
    if is_done:
        return "done"
    return "begun" if (stage / "run.json").is_file() or (stage / _MEASURED).is_file() else "waits"


def _write_groups(folder: Path, page: PhasePage, images: ImageStore, decode: Decode) -> None:
    names = page.group_pages
    for i, group in enumerate(page.groups):
        links = PageLinks(
            f"../{INDEX}",
            up=f"{page.name}.html#g{i + 1}",
            up_words=page.words,
            before=names[i - 1] if i else "",
            before_words="group before",
            after=names[i + 1] if i + 1 < len(names) else "",
            after_words="next group",
        )
        text = render_group_page(
            group,
            [page.facts.get(key_of(one), TokenFacts()) for one in group],
            images=images,
            decode=decode,
            title=f"{page.title}, group {i + 1} of {len(names)}",
            links=links,
        )
        _write(folder / names[i], text)


def key_of(one: ScoredRollout) -> Key:
    return one.rollout.group, one.rollout.index


def _lines(page: PhasePage, token_pages: Sequence[str]) -> tuple[phases.GroupLine, ...]:
    hrefs = token_pages or [""] * len(page.groups)
    return tuple(
        group_line(group, href=f"{page.name}.html#g{i}", tokens_href=href)
        for i, (group, href) in enumerate(zip(page.groups, hrefs, strict=True), start=1)
    )


def _examples(page: PhasePage, images: ImageStore) -> tuple[phases.Example, ...]:
    anchors = {
        key_of(one): f"{page.name}.html#g{number}-r{one.rollout.index}"
        for number, group in enumerate(page.groups, start=1)
        for one in group
    }
    return tuple(
        example_of(one, href=anchors[key_of(one)], images=images) for one in _telling(page.groups)
    )


def _telling(groups: Sequence[Sequence[ScoredRollout]]) -> list[ScoredRollout]:
    """The worst rollouts and the best, each of another group where there are as many."""
    ordered = [sorted(group, key=lambda one: one.reward.total) for group in groups]
    worst = sorted((group[0] for group in ordered), key=lambda one: one.reward.total)
    best = sorted((group[-1] for group in ordered), key=lambda one: one.reward.total)
    picked = [*worst[:_NUM_OF_EACH], *best[-_NUM_OF_EACH:]]
    return list({key_of(one): one for one in picked}.values())


def _write(path: Path, text: str) -> None:
    with written_whole(path) as part:
        part.write_text(text, encoding="utf-8")
