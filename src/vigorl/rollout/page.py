"""One HTML page of rollouts to look at: each group's picture, points, crops, words and rewards.

    page = render_page(pick_groups(scored, 4), images=store, title="train/3", metrics=metrics)

The page stands alone: no script, nothing loaded from elsewhere, whole pictures embedded once each.
Left out on purpose: sorting and filtering; `rollout.recorder` has every rollout as data.
"""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Mapping, Sequence

from vigorl.core.geometry import FrameMap, Size
from vigorl.core.metrics import rollout_metrics
from vigorl.core.records import TaskRecord
from vigorl.core.rewards.zoom import zoom_hits
from vigorl.core.rollout import Rollout, ScoredRollout
from vigorl.data.images import ImageStore
from vigorl.rollout.page_rollout import (
    Drawer,
    advantage_bar,
    canvas_size,
    escape,
    mark_shape,
    rollout_card,
    rollout_chip,
    target_shapes,
    verdict,
)
from vigorl.rollout.page_style import STYLE
from vigorl.rollout.picture import (
    RIGHT,
    ROLLOUT_COLOURS,
    TARGET,
    WRONG,
    is_right,
    rollout_marks,
    rollout_picture,
)

__all__ = ["pick_groups", "render_page", "rollout_picture"]

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


def render_page(
    groups: Sequence[Sequence[ScoredRollout]],
    *,
    images: ImageStore,
    title: str,
    metrics: Mapping[str, float] | None = None,
    max_side_px: int = 448,
    notes: str = "",
) -> str:
    """The page as one string of HTML; about 1 MB for four groups of eight.

    Args:
        groups: Rollouts of one prompt each; see `pick_groups`.
        images: Where their pictures come from.
        title: Names the phase, such as "train/3".
        metrics: Of the whole phase; None shows those of the rollouts on the page, and says so.
        max_side_px: Longer side of an embedded whole picture.
        notes: What to know about the run, as plain text.
    Raises:
        DataError: A picture cannot be read.
    """
    groups = [list(group) for group in groups if group]
    everything = [one for group in groups for one in group]
    drawer = Drawer(images, max_side_px)
    part_scales = _part_scales(everything)
    advantage_scale = max((abs(one.advantage) for one in everything), default=0.0)
    sections = [
        _group_section(
            group, number, drawer=drawer, part_scales=part_scales, advantage_scale=advantage_scale
        )
        for number, group in enumerate(groups, start=1)
    ]
    header = _page_header(title, notes, metrics, everything, len(groups))
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{STYLE}</style></head><body>"
        f"{header}{_key()}{_contents(groups)}<main>{''.join(sections)}</main></body></html>\n"
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


def _page_header(
    title: str,
    notes: str,
    metrics: Mapping[str, float] | None,
    scored: Sequence[ScoredRollout],
    num_groups: int,
) -> str:
    shown = rollout_metrics(scored) if metrics is None else metrics
    versions = sorted({one.rollout.policy_version for one in scored})
    scope = "of the rollouts on this page" if metrics is None else "of the whole phase"
    tiles = "".join(
        f'<div class="tile"><dt>{name}</dt><dd>{_metric(key, shown[key])}</dd></div>'
        for key, name in _TILES.items()
        if key in shown
    )
    rest = "".join(
        f"<div><dt>{escape(key)}</dt><dd class='num'>{value:.4g}</dd></div>"
        for key, value in shown.items()
    )
    about = f"{num_groups} groups, {len(scored)} rollouts"
    if versions:
        about += f", policy version {', '.join(map(str, versions))}"
    return (
        f'<header class="page"><h1 class="text">{escape(title)}</h1><p class="soft">{about}</p>'
        + (f'<p class="notes text">{escape(notes)}</p>' if notes else "")
        + f'<dl class="tiles">{tiles}</dl><details class="small"><summary class="soft">All metrics '
        f'{scope}</summary><dl class="columns">{rest}</dl></details></header>'
    )


def _metric(key: str, value: float) -> str:
    is_share = key.endswith("_frac") or key == "rollout/accuracy"
    return f"{100 * value:.0f} %" if is_share else f"{value:.2f}"


def _key() -> str:
    def sample(shape: str) -> str:
        return f'<svg width="24" height="24" viewBox="0 0 24 24" aria-hidden="true">{shape}</svg>'

    sky = ROLLOUT_COLOURS[0]
    ring = '<circle cx="12" cy="12" r="8.5" fill="{}" stroke="{}" stroke-width="3"{}/>'
    square = '<rect x="4" y="4" width="16" height="16" fill="none" stroke="#000" stroke-width="4"/>'
    inner = '<rect x="4" y="4" width="16" height="16" fill="none" stroke="{}" stroke-width="2"{}/>'
    dot = '<circle cx="12" cy="12" r="4" fill="#000" stroke="#fff" stroke-width="1.6"/>'
    dashed = ' stroke-dasharray="5 3"'
    samples = (
        (ring.format(sky, RIGHT, ""), "looked there; answered right"),
        (ring.format(sky, WRONG, ' stroke-dasharray="4 2.5"'), "looked there; answered wrong"),
        (dot, "named in a thought"),
        (square + inner.format(sky, ""), "zoom window"),
        (square + inner.format(TARGET, dashed), "target"),
    )  # fmt: skip
    items = "".join(f"<span>{sample(shape)}{words}</span>" for shape, words in samples)
    return (
        f'<div class="key">{items}<span>numbers on a group’s picture are rollouts, on a rollout’s '
        "own picture turns</span></div>"
    )


def _contents(groups: Sequence[Sequence[ScoredRollout]]) -> str:
    items = []
    for number, group in enumerate(groups, start=1):
        verdicts = "".join(
            '<span class="right">✓</span>'
            if is_right(one.rollout)
            else '<span class="wrong">✗</span>'
            for one in group
        )
        items.append(
            f'<li><a href="#g{number}" class="text">'
            f"{escape(_short(group[0].rollout.task.question))}</a>"
            f'<span class="verdicts">{verdicts}</span> <span class="soft small">reward '
            f"{_mean_reward(group):.2f} ± {_spread(group):.2f}</span></li>"
        )
    return f'<nav aria-label="groups"><ol>{"".join(items)}</ol></nav>' if items else ""


def _short(text: str, limit: int = 140) -> str:
    return text if len(text) <= limit else text[:limit].rstrip() + " …"


def _group_section(
    group: Sequence[ScoredRollout],
    number: int,
    *,
    drawer: Drawer,
    part_scales: Mapping[str, float],
    advantage_scale: float,
) -> str:
    rollouts = [one.rollout for one in group]
    cards = "".join(
        rollout_card(
            one,
            drawer=drawer,
            anchor=_anchor(number, one.rollout),
            part_scales=part_scales,
            advantage_scale=advantage_scale,
        )
        for one in group
    )
    # The picture comes before the cards, which refer to it.
    picture = _group_picture(rollouts, drawer)
    table = _group_table(group, number, advantage_scale=advantage_scale)
    return (
        f'<section class="group" id="g{number}">{_group_head(group)}'
        f'<div class="whole">{picture}<div>{_options(rollouts)}{table}</div></div>{cards}</section>'
    )


def _anchor(number: int, rollout: Rollout) -> str:
    return f"g{number}-r{rollout.index}"


def _group_head(group: Sequence[ScoredRollout]) -> str:
    task = group[0].rollout.task
    num_right = sum(is_right(one.rollout) for one in group)
    facts = [
        f"{num_right} of {len(group)} right",
        f"reward {_mean_reward(group):.2f} ± {_spread(group):.2f}",
        *(
            escape(text)
            for text in (task.category, group[0].rollout.group or task.id, task.source)
            if text
        ),
    ]
    return (
        f'<div class="head"><h2 class="text">{escape(task.question)}</h2>'
        f'<p class="meta soft">{" · ".join(facts)}</p></div>'
    )


def _group_picture(rollouts: Sequence[Rollout], drawer: Drawer) -> str:
    first = rollouts[0]
    if not first.prompt_views:
        return '<p class="soft">no picture</p>'
    view = first.prompt_views[0]
    to_canvas = FrameMap(view.original, canvas_size(view.original))
    shapes: list[str] = []
    for rollout in rollouts:
        right, colour = is_right(rollout), ROLLOUT_COLOURS[rollout.index % len(ROLLOUT_COLOURS)]
        shapes += [
            mark_shape(
                mark, to_canvas, label=str(rollout.index), colour=colour, right=right, unit=0.85
            )
            for mark in rollout_marks(rollout)
            if mark.label
        ]
    shapes += target_shapes(first, to_canvas)  # on top: many points may cover a small target
    others = "".join(drawer.thumbnail(other) for other in first.prompt_views[1:])
    caption = f"{_pixels(view.original)} original, the policy sees {_pixels(view.size)}"
    svg = drawer.svg(view, shapes=shapes, label="the picture, with the points of all rollouts")
    return (
        f'<figure style="margin:0">{svg}<figcaption>{caption}</figcaption>'
        + (f'<div class="others">{others}</div>' if others else "")
        + "</figure>"
    )


def _pixels(size: Size) -> str:
    return f"{size.width}×{size.height} px"


def _options(rollouts: Sequence[Rollout]) -> str:
    """Each option with its votes (of many, only those that matter); without options the right
    answer and what was said.
    """
    task = rollouts[0].task
    votes = Counter(_voted(rollout, task) for rollout in rollouts)
    named = [*task.options] if task.options else [task.answer]
    if len(named) > _MOST_OPTIONS:
        named = [text for text in named if votes[text] or task.is_right(text)]
    named += [text for text, _ in votes.most_common() if text not in named]
    rows = []
    for text in named:
        right = task.is_right(text) if task.options else text == task.answer
        share = 100 * votes[text] / len(rollouts)
        rows.append(
            f'<li class="{"is-right" if right else ""}">'
            f'<span class="right">{"✓" if right else ""}</span>'
            f'<span class="text">{escape(_short(text, 80))}</span>'
            f'<span class="track"><i style="width:{share:.0f}%"></i></span>'
            f'<span class="num">{votes[text]}</span></li>'
        )
    label = "answers and how often each was given"
    return f'<ul class="options" aria-label="{label}">{"".join(rows)}</ul>'


def _voted(rollout: Rollout, task: TaskRecord) -> str:
    """The option or text that a rollout's answer counts as."""
    if is_right(rollout):
        return task.answer
    if rollout.answer is None:
        return "(no answer)"
    as_option = (
        option for option in task.options if _with_answer(task, option).is_right(rollout.answer)
    )
    return next(as_option, rollout.answer)


def _with_answer(task: TaskRecord, answer: str) -> TaskRecord:
    return TaskRecord(task.id, task.question, answer, task.images, options=task.options)


def _group_table(group: Sequence[ScoredRollout], number: int, *, advantage_scale: float) -> str:
    rows = []
    for one in group:
        rollout = one.rollout
        hits = zoom_hits(rollout)
        zooms = f"{sum(hits)} of {len(hits)}" if rollout.task.targets else str(len(hits))
        tokens = sum(len(turn.completion_ids) for turn in rollout.turns)
        errors = (
            f' <span class="flag">{rollout.num_tool_errors} ⚠</span>'
            if rollout.num_tool_errors
            else ""
        )
        ended = escape(rollout.stop_reason)
        rows.append(
            f'<tr><td><a href="#{_anchor(number, rollout)}">{rollout_chip(rollout.index)}</a></td>'
            f'<td class="answer">{verdict(rollout)}</td><td class="num">{one.reward.total:.2f}</td>'
            f'<td class="num">{advantage_bar(one.advantage, scale=advantage_scale)}</td>'
            f'<td class="num">{zooms}{errors}</td><td class="num">{len(rollout.turns)}</td>'
            f'<td class="num">{tokens}</td><td class="small">{ended}</td></tr>'
        )
    heads = ("", "answer", "reward", "advantage", "hits", "turns", "tokens", "ended")
    numeric = {"reward", "advantage", "hits", "turns", "tokens"}
    header = "".join(f"<th{' class=num' if head in numeric else ''}>{head}</th>" for head in heads)
    return f"<table><thead><tr>{header}</tr></thead><tbody>{''.join(rows)}</tbody></table>"
