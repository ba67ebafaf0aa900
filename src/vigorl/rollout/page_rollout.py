"""One rollout as HTML for `page`: its picture, then turn by turn what it wrote and was shown."""

from __future__ import annotations

import base64
import html
import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from PIL import Image

from vigorl.core.geometry import Box, FrameMap, Size
from vigorl.core.media import ImageView
from vigorl.core.rewards.zoom import is_zoom_hit
from vigorl.core.rollout import Rollout, ScoredRollout, StopReason, Turn
from vigorl.core.trace import (
    ANSWER,
    END_ANSWER,
    END_OBSERVATION,
    END_THINK,
    END_TOOL_CALL,
    FORCED_ANSWER_PREFIX,
    IMAGE_SLOT,
    OBSERVATION,
    THINK,
    TOOL_CALL,
)
from vigorl.data.images import ImageStore
from vigorl.rollout.picture import (
    RIGHT,
    ROLLOUT_COLOURS,
    TARGET,
    WRONG,
    Mark,
    MarkKind,
    fit_size,
    is_right,
    rollout_marks,
    target_boxes,
    whole_picture,
)

CANVAS_PX = 448  # longer side of every drawn picture, in SVG units
CROP_PX = 288  # longest side of an embedded crop

_BLOCKS = {THINK: "think", TOOL_CALL: "tool_call", OBSERVATION: "observation", ANSWER: "answer"}
_ENDS = (END_THINK, END_TOOL_CALL, END_OBSERVATION, END_ANSWER)
_TAG = re.compile("|".join(map(re.escape, (*_BLOCKS, *_ENDS))))
_UNPRINTABLE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]"
)
_LONG_TEXT, _SHORT_TEXT = 700, 320  # characters


@dataclass(slots=True)
class Drawer:
    """Draws pictures of a page; each picture file is embedded once and referred to afterwards.

    Attributes:
        images: Where pictures come from.
        max_side_px: Longer side of an embedded whole picture.
    """

    images: ImageStore
    max_side_px: int
    _ids: dict[str, str] = field(default_factory=dict)

    def svg(
        self,
        view: ImageView,
        *,
        shapes: Sequence[str],
        label: str,
    ) -> str:
        """A whole picture with shapes on it, which are in canvas units."""
        canvas = canvas_size(view.original)
        picture_id = self._ids.get(view.source.key)
        if picture_id is None:
            picture_id = self._ids[view.source.key] = f"picture-{len(self._ids)}"
            size = fit_size(view.original, self.max_side_px)
            data = data_uri(whole_picture(self.images, view, size=size))
            ground = (
                f'<image id="{picture_id}" width="{canvas.width}" height="{canvas.height}" '
                f'preserveAspectRatio="none" href="{data}"/>'
            )
        else:
            ground = f'<use href="#{picture_id}"/>'
        return (
            f'<svg class="picture" role="img" aria-label="{escape(label)}" '
            f'viewBox="0 0 {canvas.width} {canvas.height}">{ground}{"".join(shapes)}</svg>'
        )

    def thumbnail(self, view: ImageView) -> str:
        """A further picture of the prompt, which no tool cuts from."""
        size = fit_size(view.original, 160)
        data = data_uri(whole_picture(self.images, view, size=size))
        return f'<img alt="further picture of the prompt" src="{data}">'

    def crop(self, view: ImageView, *, is_hit: bool, label: str) -> str:
        size = fit_size(view.size, CROP_PX)
        data = data_uri(self.images.image(replace(view, size=size)))
        css = " ".join(
            name
            for name, applies in (("hit", is_hit), ("tiny", max(size.width, size.height) < 120))
            if applies
        )
        return f'<img class="{css}" alt="{escape(label)}" src="{data}">'


def canvas_size(original: Size) -> Size:
    return fit_size(original, CANVAS_PX, may_grow=True)


def data_uri(image: Image.Image) -> str:
    """A picture to embed: exact when it is tiny, JPEG otherwise."""
    buffer = io.BytesIO()
    if image.width * image.height <= 128 * 128:
        image.save(buffer, "PNG", optimize=True)
        kind = "png"
    else:
        image.save(buffer, "JPEG", quality=80, optimize=True)
        kind = "jpeg"
    return f"data:image/{kind};base64,{base64.b64encode(buffer.getvalue()).decode()}"


def escape(text: str) -> str:
    """Text for HTML; control and direction marks and lone surrogates become U+FFFD."""
    return html.escape(_UNPRINTABLE.sub("�", text))


def rollout_chip(index: int) -> str:
    """The rollout's number on its colour."""
    colour = ROLLOUT_COLOURS[index % len(ROLLOUT_COLOURS)]
    css = "chip dark" if colour in ("#0072b2", "#8c510a") else "chip"
    return f'<span class="{css}" style="background:{colour}">{index}</span>'


def verdict(rollout: Rollout) -> str:
    right = is_right(rollout)
    said = "no answer" if rollout.answer is None else escape(rollout.answer)
    return f'<span class="{"right" if right else "wrong"}">{"✓" if right else "✗"} {said}</span>'


def advantage_bar(advantage: float, *, scale: float) -> str:
    """A bar to the right of the middle for more than the group's mean, to the left for less."""
    width = 50 * min(1.0, abs(advantage) / scale) if scale else 0.0
    side = "left:50%" if advantage >= 0 else "right:50%"
    css = "" if advantage >= 0 else ' class="minus"'
    return (
        f'<span class="adv"><i{css} style="{side};width:{width:.0f}%"></i></span>{advantage:+.2f}'
    )


def box_shape(
    box: Box, to_canvas: FrameMap, *, colour: str, title: str, is_dashed: bool = False
) -> str:
    """A rectangle with a dark rim, so that it shows on any ground."""
    at = to_canvas.box(box)
    place = (
        f'x="{at.left:.1f}" y="{at.top:.1f}" width="{at.right - at.left:.1f}" '
        f'height="{at.bottom - at.top:.1f}" fill="none"'
    )
    dash = ' stroke-dasharray="5 3"' if is_dashed else ""
    return (
        f'<g><title>{escape(title)}</title><rect {place} stroke="#000" stroke-opacity=".8" '
        f'stroke-width="5"/><rect {place} stroke="{colour}" stroke-width="2.5"{dash}/></g>'
    )


def target_shapes(rollout: Rollout, to_canvas: FrameMap) -> list[str]:
    return [
        box_shape(box, to_canvas, colour=TARGET, title="target", is_dashed=True)
        for box in target_boxes(rollout.task)
    ]


def mark_shape(
    mark: Mark, to_canvas: FrameMap, *, label: str, colour: str, right: bool, unit: float = 1.0
) -> str:
    """A numbered disc; the ring around it is solid for right and dashed for wrong."""
    at = to_canvas.point(mark.point)
    where = f'cx="{at.x:.1f}" cy="{at.y:.1f}"'
    title = f"{mark.kind} of turn {mark.turn} at ({mark.point.x:.0f}, {mark.point.y:.0f})"
    if not label:
        return (
            f'<g><title>{escape(title)}</title><circle {where} r="{4 * unit:.1f}" fill="#000" '
            f'stroke="#fff" stroke-width="{1.6 * unit:.1f}"/></g>'
        )
    ring, dash = (RIGHT, "") if right else (WRONG, f' stroke-dasharray="{4 * unit:.1f} 2.5"')
    ink = "#fff" if colour in ("#0072b2", "#8c510a") else "#111"
    return (
        f'<g><title>{escape(title)}</title><circle {where} r="{11.5 * unit:.1f}" fill="#fff"/>'
        f'<circle {where} r="{8 * unit:.1f}" fill="{colour}"/>'
        f'<circle {where} r="{10 * unit:.1f}" fill="none" stroke="{ring}" '
        f'stroke-width="{3 * unit:.1f}"{dash}/>'
        f'<text x="{at.x:.1f}" y="{at.y + 4 * unit:.1f}" text-anchor="middle" fill="{ink}" '
        f'font-family="sans-serif" font-weight="700" font-size="{11 * unit:.1f}">'
        f"{escape(label)}</text></g>"
    )


def rollout_card(
    scored: ScoredRollout,
    *,
    drawer: Drawer,
    anchor: str,
    part_scales: Mapping[str, float],
    advantage_scale: float,
) -> str:
    """Everything about one rollout."""
    rollout = scored.rollout
    picture = _own_picture(rollout, drawer) if rollout.prompt_views else ""
    turns = "".join(
        _turn_column(turn, number, rollout, drawer)
        for number, turn in enumerate(rollout.turns, start=1)
    )
    head = _card_head(scored, part_scales=part_scales, advantage_scale=advantage_scale)
    return (
        f'<article id="{anchor}">{head}'
        f'<div class="strip">{picture}<ol class="turns">{turns}</ol></div></article>'
    )


def _card_head(
    scored: ScoredRollout, *, part_scales: Mapping[str, float], advantage_scale: float
) -> str:
    rollout, reward = scored.rollout, scored.reward
    parts = "".join(
        f"<div><dt>{escape(name)}</dt><dd>{_track(value, scale=part_scales[name])}"
        f'<span class="num">{value:.2f}</span></dd></div>'
        for name, value in reward.parts.items()
    )
    stop = rollout.stop_reason
    ended = (
        escape(stop) if stop is StopReason.ANSWERED else f'<span class="flag">{escape(stop)}</span>'
    )
    tokens = sum(len(turn.completion_ids) for turn in rollout.turns)
    return (
        f"<header><h3>{rollout_chip(rollout.index)}</h3>"
        f'<span class="verdict">{verdict(rollout)}</span>'
        f'<span>reward <b class="num">{reward.total:.2f}</b></span>'
        f'<dl class="parts">{parts}</dl>'
        f'<span class="small">{advantage_bar(scored.advantage, scale=advantage_scale)} '
        f'<span class="soft">advantage</span></span>'
        f'<span class="small soft">{ended} · {count_of(len(rollout.turns), "turn")} · '
        f"{count_of(tokens, 'token')} · policy v{rollout.policy_version}</span></header>"
    )


def count_of(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _track(value: float, *, scale: float) -> str:
    width = 100 * min(1.0, max(0.0, value) / scale) if scale else 0.0
    return f'<span class="track"><i style="width:{width:.0f}%"></i></span>'


def _own_picture(rollout: Rollout, drawer: Drawer) -> str:
    view = rollout.prompt_views[0]
    to_canvas = FrameMap(view.original, canvas_size(view.original))
    colour, marks = ROLLOUT_COLOURS[rollout.index % len(ROLLOUT_COLOURS)], rollout_marks(rollout)
    shapes = target_shapes(rollout, to_canvas)
    zooms = [mark for mark in marks if mark.kind is MarkKind.ZOOM]
    shapes += [
        box_shape(mark.window, to_canvas, colour=colour, title=f"window of turn {mark.turn}")
        for mark in zooms
        if mark.window is not None
    ]
    if len(zooms) > 1:
        path = " ".join(f"{p.x:.1f},{p.y:.1f}" for p in (to_canvas.point(m.point) for m in zooms))
        shapes.append(
            f'<polyline points="{path}" fill="none" stroke="#000" stroke-opacity=".6" '
            f'stroke-width="4"/><polyline points="{path}" fill="none" stroke="{colour}" '
            'stroke-width="2"/>'
        )
    right = is_right(rollout)
    shapes += [
        mark_shape(mark, to_canvas, label=mark.label, colour=colour, right=right, unit=1.5)
        for mark in marks
    ]
    label = f"rollout {rollout.index}: where it looked"
    return f"<figure>{drawer.svg(view, shapes=shapes, label=label)}</figure>"


def _turn_column(turn: Turn, number: int, rollout: Rollout, drawer: Drawer) -> str:
    tokens = count_of(len(turn.completion_ids), "token")
    pieces = [f"<h4>turn {number} <span>· {tokens}</span></h4>", _policy_text(turn)]
    problem = turn.parsed.problem
    if problem is not None and turn.parsed.detail not in turn.tool_error:
        pieces.append(
            f'<p class="problem text">⚠ {escape(problem)}: {escape(turn.parsed.detail)}</p>'
        )
    if turn.tool_error:
        pieces.append(f'<p class="problem text">⚠ tool error: {escape(turn.tool_error)}</p>')
    elif turn.observation:
        pieces.append(text_blocks(turn.observation.replace(IMAGE_SLOT, "").strip()))
    pieces += [_crop_figure(turn, view, number, rollout, drawer) for view in turn.views]
    return f'<li class="turn">{"".join(pieces)}</li>'


def _crop_figure(turn: Turn, view: ImageView, number: int, rollout: Rollout, drawer: Drawer) -> str:
    place = turn.focus.point if turn.focus else None
    at = "" if place is None else f"at ({place.x:.0f}, {place.y:.0f})"
    is_hit = is_zoom_hit(view, rollout.task.targets)
    seen = ""
    if rollout.task.targets:
        seen = ' · <span class="right">● target inside</span>' if is_hit else " · ○ no target"
    window = ""
    if view.box is not None:
        window = f" · {view.box.right - view.box.left:.0f}×{view.box.bottom - view.box.top:.0f} px"
    picture = drawer.crop(view, is_hit=is_hit, label=f"crop of turn {number} {at}")
    return f"<figure>{picture}<figcaption>{at}{window}{seen}</figcaption></figure>"


def _policy_text(turn: Turn) -> str:
    if turn.prefix_ids and turn.text.startswith(FORCED_ANSWER_PREFIX):
        forced = text_blocks(FORCED_ANSWER_PREFIX)
        own = text_blocks(turn.text.removeprefix(FORCED_ANSWER_PREFIX), is_open="answer")
        return (
            f'<div class="forced" title="put into its mouth, never trained on">{forced}</div>{own}'
        )
    return text_blocks(turn.text)


def text_blocks(text: str, *, is_open: str = "") -> str:
    """Text with its tags set back and one paragraph per block.

    Args:
        text: What was written.
        is_open: The block that the text starts in; "" is outside of all.
    """
    paragraphs, inside, position, start_tag = [], is_open, 0, ""
    for match in _TAG.finditer(text):
        body, tag = text[position : match.start()], match[0]
        is_end = tag in _ENDS
        paragraphs.append(_paragraph(body, inside, start_tag, tag if is_end else ""))
        inside, start_tag = ("", "") if is_end else (_BLOCKS[tag], tag)
        position = match.end()
    paragraphs.append(_paragraph(text[position:], inside, start_tag, ""))
    return "".join(paragraphs)


def _paragraph(body: str, inside: str, start_tag: str, end_tag: str) -> str:
    body = body.strip()
    if not (body or start_tag or end_tag):
        return ""
    before, after = (
        f'<span class="tag">{escape(tag)}</span>' if tag else "" for tag in (start_tag, end_tag)
    )
    css = f"text block-{inside or 'outside'}" if body or inside else "text"
    if len(body) > _LONG_TEXT:
        return (
            f'<details class="{css}"><summary>{before} {escape(body[:_SHORT_TEXT].rstrip())} … '
            f'<span class="soft">({len(body)} characters)</span></summary>'
            f"{escape(body)} {after}</details>"
        )
    return f'<p class="{css}">{before} {escape(body)} {after}</p>'
