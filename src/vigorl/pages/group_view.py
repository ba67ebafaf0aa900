"""One group on one HTML page: its rollouts side by side, the best first, with what each token was
credited and how far engine and trainer are apart on it.

    page = render_group_page(group, facts, images=store, decode=codec.decode, title="train/3", ...)

Three colourings are on the page, chosen by buttons that need no script.
"""

from __future__ import annotations

import bisect
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from vigorl.core.rollout import ScoredRollout, Turn
from vigorl.data.images import ImageStore
from vigorl.pages.html import Album, render
from vigorl.pages.phases import PageLinks
from vigorl.pages.rollouts import RolloutCard, rollout_card, votes_of

Decode = Callable[[Sequence[int]], str]

GAPS = (0.01, 0.05, 0.1, 0.25, 0.5)  # nats; where the colours of gaps begin
_LEVELS = 5
_SURE = 0.98  # tokens likelier than this have no colour
_MOST_TOKENS = 2000  # of a rollout; what follows is counted
_MOST_BYTES = 6  # tokens that one character may be cut into, with room


@dataclass(frozen=True, slots=True)
class TokenFacts:
    """What is known of a rollout's N sampled tokens, in order.

    Attributes:
        advantages: [N] what each was credited; empty where that is not known.
        trainer_logprobs: [N] nats under the trainer's weights of the phase's start; empty likewise.
    """

    advantages: Sequence[float] = ()
    trainer_logprobs: Sequence[float] = ()


@dataclass(frozen=True, slots=True)
class _Token:
    """A token as it is drawn; `css` names its levels, `about` its numbers."""

    text: str
    css: str
    about: str


@dataclass(frozen=True, slots=True)
class _Column:
    """A rollout; `tokens` are those of each turn of its card."""

    card: RolloutCard
    tokens: tuple[tuple[_Token, ...], ...]
    num_hidden: int
    num_apart: int
    widest: float | None


def render_group_page(
    group: Sequence[ScoredRollout],
    facts: Sequence[TokenFacts],
    *,
    images: ImageStore,
    decode: Decode,
    title: str,
    links: PageLinks,
) -> str:
    """The page as one string of HTML.

    Args:
        group: Rollouts of one prompt.
        facts: Of each, in order.
        images: Where their pictures come from.
        decode: From ids to text.
        title: Names the phase and the group.
        links: Where the page leads.
    Raises:
        DataError: A picture cannot be read.
    """
    album, task = Album(images), group[0].rollout.task
    scale = max((abs(a) for one in facts for a in one.advantages), default=0.0)
    order = sorted(range(len(group)), key=lambda i: (-group[i].reward.total, i))
    cards = [rollout_card(group[i], f"r{group[i].rollout.index}", album) for i in order]
    return render(
        "group.html.jinja",
        title=title,
        links=links,
        task=task,
        votes=list(votes_of([one.rollout for one in group])),
        gaps=GAPS,
        levels=range(1, _LEVELS + 1),
        has_credit=any(one.advantages for one in facts),
        has_gaps=any(one.trainer_logprobs for one in facts),
        advantage_scale=max((abs(one.advantage) for one in group), default=0.0),
        part_scales={
            name: max([1.0, *(one.reward.parts.get(name, 0.0) for one in group)])
            for name in group[0].reward.parts
        },
        columns=[
            _column(card, facts[i], decode, scale) for card, i in zip(cards, order, strict=True)
        ],
    )


def token_texts(ids: Sequence[int], decode: Decode) -> list[str]:
    """The text of each token; "" of those that are a part of a character, but the last of them,
    and of control tokens.
    """
    texts, pending = list[str](), list[int]()
    for token in ids:
        pending.append(token)
        text = decode(pending)
        if text.endswith("\ufffd") and len(pending) < _MOST_BYTES:
            texts.append("")
            continue
        texts.append(text)
        pending = []
    return texts


def _column(card: RolloutCard, facts: TokenFacts, decode: Decode, scale: float) -> _Column:
    rollout = card.scored.rollout
    advantages = rollout.by_turn(facts.advantages)
    trainer = rollout.by_turn(facts.trainer_logprobs)
    turns, room = list[tuple[_Token, ...]](), _MOST_TOKENS
    for turn, credited, logprobs in zip(rollout.turns, advantages, trainer, strict=True):
        turns.append(tuple(_tokens(turn, credited, logprobs, decode, scale))[:room])
        room -= len(turns[-1])
    gaps = [
        abs(engine - own)
        for turn, logprobs in zip(rollout.turns, trainer, strict=True)
        for engine, own in zip(turn.sampling_logprobs, logprobs, strict=False)
    ]
    num_apart = sum(gap >= GAPS[0] for gap in gaps)
    num_hidden = card.num_tokens - sum(map(len, turns))
    return _Column(card, tuple(turns), num_hidden, num_apart, max(gaps, default=None))


def _tokens(
    turn: Turn,
    advantages: Sequence[float],
    trainer: Sequence[float],
    decode: Decode,
    scale: float,
) -> list[_Token]:
    found = []
    for i, text in enumerate(token_texts(turn.completion_ids, decode)):
        css, about = [], []
        if i < len(turn.sampling_logprobs):
            chance = math.exp(min(turn.sampling_logprobs[i], 0.0))
            css.append(f"q{_level(1 - chance) if chance < _SURE else 0}")
            about.append(f"probability {chance:.3g}")
        if i < len(advantages):
            level = _level(abs(advantages[i]) / scale) if scale else 0
            css.append(f"{'m' if advantages[i] < 0 else 'p'}{level}")
            about.append(f"advantage {advantages[i]:+.3g}")
        if i < min(len(trainer), len(turn.sampling_logprobs)):
            gap = turn.sampling_logprobs[i] - trainer[i]
            css.append(f"{'e' if gap > 0 else 't'}{bisect.bisect_right(GAPS, abs(gap))}")
            about.append(f"engine − trainer {gap:+.2g} nats")
        is_shown = text.strip("\ufffd")
        found.append(_Token(text if is_shown else "▫", " ".join(css), ", ".join(about)))
    return found


def _level(share: float) -> int:
    """0 of nothing, else 1 to `_LEVELS`."""
    return min(math.ceil(share * _LEVELS - 1e-6), _LEVELS)
