"""One HTML page of rollouts to look at: each group's picture, points, views, words and rewards.

    page = render_rollout_page(pick_groups(scored, 4), images=store, title="train/3")

Left out on purpose: sorting and filtering; `rollout.recorder` has every rollout as data.
"""

from __future__ import annotations

import re
import statistics
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice

from vigorl.core.contrast import Contrast, contrasts_of, other_numbers
from vigorl.core.geometry import Box, Size
from vigorl.core.media import ImageView
from vigorl.core.metrics import is_right, rollout_metrics
from vigorl.core.records import TaskRecord
from vigorl.core.rewards.zoom import is_zoom_hit, zoom_hits
from vigorl.core.rollout import Rollout, ScoredRollout, Turn
from vigorl.core.trace import END_OBSERVATION, FORCED_ANSWER_PREFIX, IMAGE_SLOT
from vigorl.data.images import ImageStore
from vigorl.pages.html import Album, Picture, Vote, render
from vigorl.pages.phases import PageLinks
from vigorl.pages.spots import Spot, SpotKind, colour_of, spots_of
from vigorl.pages.text import Block, text_blocks
from vigorl.rollout.inference.rule import CHOSEN

# Views at the end of an observation are shown behind its tag, which then ends the words.
_LAST_SLOTS = re.compile(rf"((?:\s*{IMAGE_SLOT})+)\s*{END_OBSERVATION}")
WORST_AND_BEST = "those of lowest and of highest reward, half and half, the lowest first"
WIDEST_BEST_AND_WORST = "by turns the widest spread of rewards, the best and the worst mean"
_MOST_OPTIONS = 8  # beyond these, options that nobody chose are left out
_TILES = {  # the metrics that come first, and what they are called
    "reward/total": "reward",
    "rollout/accuracy": "accuracy",
    "rollout/valid_frac": "valid format",
    "rollout/zoom_hit_frac": "zooms that hit",
    "rollout/turns_mean": "turns",
    "rollout/tool_errors_mean": "tool errors",
    "rollout/truncated_frac": "truncated",
}


@dataclass(frozen=True, slots=True)
class _Marker:
    """A spot as it is drawn."""

    spot: Spot
    label: str
    colour: str
    is_right: bool


@dataclass(frozen=True, slots=True)
class _Drawing:
    """A picture, what is to be found on it, and where it was pointed at."""

    picture: Picture
    original: Size
    targets: tuple[Box, ...]
    markers: tuple[_Marker, ...]


@dataclass(frozen=True, slots=True)
class _Shown:
    """A view of a turn; `number` is its place among the turn's, None where it is the only one, and
    `is_hit` None where the task has no targets.
    """

    href: str
    view: ImageView
    number: int | None
    spot: Spot | None
    is_hit: bool | None


@dataclass(frozen=True, slots=True)
class _TurnText:
    """What was written in a turn and what was replied; `forced` was put into the policy's mouth."""

    num_tokens: int
    forced: tuple[Block, ...]
    blocks: tuple[Block, ...]
    problems: tuple[str, ...]
    reply: tuple[Block | _Shown, ...]


@dataclass(frozen=True, slots=True)
class RolloutCard:
    """One rollout as templates show it; see `parts.html.jinja`. `contrasts` and `numbers` are what
    probes have found about it; `is_chosen` is what a rule of inference took of several.
    """

    scored: ScoredRollout
    anchor: str
    colour: str
    is_right: bool
    is_chosen: bool
    num_tokens: int
    hits: tuple[bool, ...]
    drawings: tuple[_Drawing, ...]
    turns: tuple[_TurnText, ...]
    contrasts: Mapping[str, Contrast]
    numbers: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class _Group:
    """The rollouts of one prompt; `others` are further pictures that nobody pointed at."""

    name: str
    task: TaskRecord
    first: ImageView | None
    drawings: tuple[_Drawing, ...]
    others: tuple[str, ...]
    votes: tuple[Vote, ...]
    cards: tuple[RolloutCard, ...]
    reward_mean: float
    reward_spread: float
    tokens_href: str


def pick_groups(scored: Sequence[ScoredRollout], num: int) -> list[list[ScoredRollout]]:
    """The groups worth a look: by turns the widest spread of rewards, the best and the worst mean.

    Args:
        scored: Any rollouts; those without a group name are grouped by task.
        num: Groups at most.
    Returns:
        Different groups, each in the order of its rollouts' indices; ties go to the earlier group.
    """
    groups: dict[str, list[ScoredRollout]] = {}
    for one in scored:
        groups.setdefault(one.rollout.group or one.rollout.task.id, []).append(one)
    orders = [
        sorted(groups, key=lambda name: -_spread(groups[name])),
        sorted(groups, key=lambda name: -_mean_reward(groups[name])),
        sorted(groups, key=lambda name: _mean_reward(groups[name])),
    ]
    picked: list[str] = []
    while len(picked) < min(num, len(groups)):
        order = orders[len(picked) % len(orders)]
        picked.append(next(name for name in order if name not in picked))
    return [sorted(groups[name], key=lambda one: one.rollout.index) for name in picked]


def pick_worst_and_best(
    scored: Sequence[ScoredRollout],
    num: int,
    *,
    whole_groups: bool = False,
    by_question: bool = False,
) -> list[list[ScoredRollout]]:
    """At most `num` rollouts of lowest and highest reward, worst first, each a group of one; in
    words, `WORST_AND_BEST`.

    Args:
        scored: Any rollouts.
        num: At most.
        whole_groups: Takes groups by their mean reward instead, such as the steps of an episode.
        by_question: Likewise takes all about one question.
    """
    groups: dict[object, list[ScoredRollout]] = {}
    for i, one in enumerate(scored):
        key = one.rollout.task.id if by_question else one.rollout.group if whole_groups else i
        groups.setdefault(key, []).append(one)
    ordered, num_best = sorted(groups.values(), key=_mean_reward), num // 2
    num_worst = num - num_best
    best = ordered[max(num_worst, len(ordered) - num_best) :]
    return [*ordered[:num_worst], *best]


def render_rollout_page(
    groups: Sequence[Sequence[ScoredRollout]],
    *,
    images: ImageStore,
    title: str,
    metrics: Mapping[str, float] | None = None,
    chosen: str = "",
    links: PageLinks | None = None,
    token_pages: Sequence[str] = (),
) -> str:
    """The page as one string of HTML; about 1 MB for four groups of eight.

    Args:
        groups: Rollouts of one prompt each; see `pick_groups`.
        images: Where their pictures come from.
        title: Names the phase, such as "train/3".
        metrics: Of the whole phase; None shows those of the rollouts on the page, and says so.
        chosen: How these groups were chosen, in words.
        links: Where the page leads; None where it stands alone.
        token_pages: Addresses of the groups' `pages.group_view`, in order; empty without them.
    Raises:
        DataError: A picture cannot be read.
    """
    groups = [list(group) for group in groups if group]
    everything = [one for group in groups for one in group]
    album = Album(images)
    return render(
        "rollouts.html.jinja",
        title=title,
        tiles=_TILES,
        metrics=rollout_metrics(everything) if metrics is None else metrics,
        are_of_phase=metrics is not None,
        versions=sorted({one.rollout.policy_version for one in everything}),
        num_rollouts=len(everything),
        part_scales=_part_scales(everything),
        chosen=chosen,
        # a rollout alone is compared with none, and candidates of a rule are no group
        has_advantages=any(len(group) > 1 for group in groups)
        and not any(CHOSEN in one.rollout.probes for one in everything),
        advantage_scale=max((abs(one.advantage) for one in everything), default=0.0),
        links=links,
        groups=[
            _group(group, number, album, tokens_href)
            for number, (group, tokens_href) in enumerate(
                zip(groups, token_pages or [""] * len(groups), strict=True), start=1
            )
        ],
    )


def _part_scales(scored: Sequence[ScoredRollout]) -> dict[str, float]:
    """What a full bar of each part stands for: 1, or the page's highest value if that is more."""
    scales: dict[str, float] = {}
    for one in scored:
        for name, value in one.reward.parts.items():
            scales[name] = max(scales.get(name, 1.0), value)
    return scales


def _mean_reward(group: Sequence[ScoredRollout]) -> float:
    return statistics.fmean(one.reward.total for one in group)


def _spread(group: Sequence[ScoredRollout]) -> float:
    return statistics.pstdev([one.reward.total for one in group])


def _group(scored: Sequence[ScoredRollout], number: int, album: Album, tokens_href: str) -> _Group:
    rollouts = [one.rollout for one in scored]
    first = rollouts[0]
    # The group's pictures come before the cards, which refer to them.
    markers = [
        replace(marker, label=str(rollout.index))
        for rollout in rollouts
        for marker in _markers(rollout)
        if marker.label
    ]
    drawings, others = _drawings(first.prompt_views, markers, first.task, album)
    return _Group(
        name=first.group or first.task.id,
        task=first.task,
        first=first.prompt_views[0] if first.prompt_views else None,
        drawings=drawings,
        others=tuple(map(album.thumbnail, others)),
        votes=tuple(votes_of(rollouts)),
        cards=tuple(rollout_card(one, f"g{number}-r{one.rollout.index}", album) for one in scored),
        reward_mean=_mean_reward(scored),
        reward_spread=_spread(scored),
        tokens_href=tokens_href,
    )


def rollout_card(scored: ScoredRollout, anchor: str, album: Album) -> RolloutCard:
    """A rollout with its pictures.

    Args:
        scored: The rollout.
        anchor: Its id in the page.
        album: Of the page.
    Raises:
        DataError: A picture cannot be read.
    """
    rollout = scored.rollout
    drawings, _ = _drawings(rollout.views, _markers(rollout), rollout.task, album)
    turns = [_turn_text(rollout, i, album) for i in range(len(rollout.turns))]
    return RolloutCard(
        scored=scored,
        anchor=anchor,
        colour=colour_of(rollout),
        is_right=is_right(rollout),
        is_chosen=rollout.probes.get(CHOSEN) == 1.0,
        num_tokens=sum(turn.num_tokens for turn in turns),
        hits=tuple(zoom_hits(rollout)),
        drawings=drawings,
        turns=tuple(turns),
        contrasts=contrasts_of(rollout.probes),
        numbers={k: v for k, v in other_numbers(rollout.probes).items() if k != CHOSEN},
    )


def _markers(rollout: Rollout) -> list[_Marker]:
    colour, right = colour_of(rollout), is_right(rollout)
    return [_Marker(spot, spot.label, colour, right) for spot in spots_of(rollout)]


def _drawings(
    views: Sequence[ImageView], markers: Sequence[_Marker], task: TaskRecord, album: Album
) -> tuple[tuple[_Drawing, ...], list[ImageView]]:
    """The first picture and every other that was pointed at; and the views of the rest."""
    sources: dict[str, ImageView] = {}
    for view in views:
        sources.setdefault(view.source.key, view)
    drawings, others = [], []
    for source, view in sources.items():
        here = tuple(marker for marker in markers if marker.spot.picture == source)
        targets = () if drawings else task.target_boxes
        if here or not drawings:
            drawings.append(_Drawing(album.whole(view), view.original, targets, here))
        else:
            others.append(view)
    return tuple(drawings), others


def _turn_text(rollout: Rollout, index: int, album: Album) -> _TurnText:
    turn, parsed = rollout.turns[index], rollout.turns[index].parsed
    is_forced = bool(turn.prefix_ids) and turn.text.startswith(FORCED_ANSWER_PREFIX)
    own = turn.text.removeprefix(FORCED_ANSWER_PREFIX) if is_forced else turn.text
    problems = []
    if parsed.problem is not None and parsed.detail not in turn.tool_error:
        problems.append(f"{parsed.problem}: {parsed.detail}")
    if turn.tool_error:
        problems.append(f"tool error: {turn.tool_error}")
    return _TurnText(
        num_tokens=len(turn.completion_ids),
        forced=tuple(text_blocks(FORCED_ANSWER_PREFIX)) if is_forced else (),
        blocks=tuple(text_blocks(own, inside="answer" if is_forced else "outside")),
        problems=tuple(problems),
        reply=tuple(_reply(turn, list(_shown(rollout, index, album)))),
    )


def _reply(turn: Turn, shown: list[_Shown]) -> Iterator[Block | _Shown]:
    """Words and views in the order of the observation; of a turn that was refused, no words."""
    views, text = iter(shown), "" if turn.tool_error and not shown else turn.observation
    text = _LAST_SLOTS.sub(rf"{END_OBSERVATION}\1", text)
    for i, piece in enumerate(text.split(IMAGE_SLOT)):
        if i:
            yield from islice(views, 1)
        yield from text_blocks(piece, inside="observation" if i else "outside")
    yield from views


def _shown(rollout: Rollout, index: int, album: Album) -> Iterator[_Shown]:
    """The views of a turn; the spot belongs to the one that shows its window."""
    targets, views = rollout.task.target_boxes, rollout.turns[index].views
    looks = [
        spot for spot in spots_of(rollout) if spot.kind is SpotKind.LOOK and spot.turn == index + 1
    ]
    for number, view in enumerate(views, start=1):
        yield _Shown(
            href=album.shown(view),
            view=view,
            number=number if len(views) > 1 else None,
            spot=next((spot for spot in looks if spot.window == view.box), None),
            is_hit=is_zoom_hit(view, targets, first=rollout.prompt_views[0]) if targets else None,
        )


def votes_of(rollouts: Sequence[Rollout]) -> Iterator[Vote]:
    """Each option with its votes (of many, only those that matter); without options the right
    answer and what was said.
    """
    task = rollouts[0].task
    counts = Counter(_voted(rollout, task) for rollout in rollouts)
    named = [*task.options] if task.options else [task.answer]
    if len(named) > _MOST_OPTIONS:
        named = [text for text in named if counts[text] or task.is_right(text)]
    named += [text for text, _ in counts.most_common() if text not in named]
    for text in named:
        right = task.is_right(text) if task.options else text == task.answer
        yield Vote(text, right, counts[text], counts[text] / len(rollouts))


def _voted(rollout: Rollout, task: TaskRecord) -> str:
    """The option or text that a rollout's answer counts as."""
    if is_right(rollout):
        return task.answer
    said = rollout.answer
    if said is None:
        return "(no answer)"
    options = (one for one in task.options if replace(task, answer=one).is_right(said))
    return next(options, said)
