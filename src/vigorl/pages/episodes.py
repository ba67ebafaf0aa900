"""One HTML page of episodes to look at: what was seen, thought and done, step by step.

    page = render_episode_page(groups, images=store, title="shop", endings=["stopped"])

An episode is a group of rollouts, one per step, each with a picture of its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from vigorl.core.metrics import is_right, rollout_metrics
from vigorl.core.rollout import Rollout, ScoredRollout
from vigorl.data.images import ImageStore
from vigorl.pages.html import Album, render
from vigorl.pages.text import Block, text_blocks, words_of

_TILES = {
    "reward/total": "reward per step",
    "rollout/valid_frac": "valid format",
    "rollout/completion_tokens_mean": "tokens per step",
    "rollout/truncated_frac": "truncated",
}


@dataclass(frozen=True, slots=True)
class _Step:
    """What was seen and said; `others` are the task's own pictures, `prompt` what was asked."""

    number: int
    href: str
    others: tuple[str, ...]
    blocks: tuple[Block, ...]
    problem: str
    prompt: str


@dataclass(frozen=True, slots=True)
class _Episode:
    name: str
    title: str
    is_done: bool
    ending: str
    steps: tuple[_Step, ...]


def render_episode_page(
    episodes: Sequence[Sequence[ScoredRollout]],
    *,
    images: ImageStore,
    title: str,
    endings: Sequence[str],
    metrics: Mapping[str, float] | None = None,
    chosen: str = "",
) -> str:
    """The page as one string of HTML; about 50 kB per step.

    Args:
        episodes: The steps of each, in order.
        images: Where their pictures come from.
        title: Names the evaluation.
        endings: How each episode ended, in words.
        metrics: Of all steps; None: of those on the page.
        chosen: How these episodes were chosen, in words.
    Raises:
        DataError: A picture cannot be read.
    """
    album = Album(images)
    everything = [one for steps in episodes for one in steps]
    return render(
        "episodes.html.jinja",
        title=title,
        tiles=_TILES,
        metrics=rollout_metrics(everything) if metrics is None else metrics,
        chosen=chosen,
        episodes=[
            _episode([one.rollout for one in steps], ending, album)
            for steps, ending in zip(episodes, endings, strict=True)
        ],
    )


def _episode(steps: Sequence[Rollout], ending: str, album: Album) -> _Episode:
    last = steps[-1]
    return _Episode(
        name=last.group,
        title=words_of(last.task.question).partition("\n")[0],
        is_done=is_right(last),
        ending=ending,
        steps=tuple(_step(one, album) for one in steps),
    )


def _step(rollout: Rollout, album: Album) -> _Step:
    text = "\n".join(turn.text for turn in rollout.turns)
    screen, *others = rollout.prompt_views
    return _Step(
        number=rollout.index + 1,
        href=album.large(screen),
        others=tuple(map(album.thumbnail, others)),
        blocks=tuple(text_blocks(text)),
        problem=next((turn.parsed.detail for turn in rollout.turns if turn.parsed.problem), ""),
        prompt=rollout.task.question.strip(),
    )
