"""ViCrit: a true caption with one span replaced by a false one; which is it?

The false span comes from a list of swaps, where the paper asks GPT-4: a caption is only asked about
where one of the list's words stands in it.
Source: ViCrit, arXiv:2506.10128 (0.9 x match + 0.1 x format, mean-only advantages). Left out: its
training code, which was not released.
"""

from __future__ import annotations

import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from vigorl.core.errors import ConfigError
from vigorl.core.scoring import Scorer, SpanMatch
from vigorl.data.proxies.proxy import Picture, Proxy, Question


@dataclass(frozen=True, slots=True, kw_only=True)
class FalseSpan(Proxy):
    """Attributes:
    swaps: What a word may be replaced by: {"red": ["green", "blue"], "left": ["right"]}.
    max_extra: As of `SpanMatch`.
    """

    swaps: Mapping[str, Sequence[str]] = field(default_factory=dict)
    max_extra: int = 3

    def __post_init__(self) -> None:
        swaps = {word.lower(): tuple(others) for word, others in self.swaps.items()}
        object.__setattr__(self, "swaps", swaps)
        for word, others in swaps.items():
            if not others or word in map(str.lower, others):
                raise ConfigError(f"swaps of {word!r} must be other words, got {list(others)}")

    @property
    def scorer(self) -> Scorer:
        return SpanMatch(max_extra=self.max_extra)

    @property
    def needs_captions(self) -> bool:
        return True

    def ask(self, picture: Picture, others: Sequence[Picture], *, rng: random.Random) -> Question:
        caption = picture.caption
        found = [m for m in re.finditer(r"[^\W_]+", caption) if m[0].lower() in self.swaps]
        if not found:
            raise ValueError(f"no word of data.proxy.swaps stands in the caption {caption!r:.80}")
        word = rng.choice(found)
        said = [one for one in self.swaps[word[0].lower()] if f" {one} " not in f" {caption} "]
        false = rng.choice(said or list(self.swaps[word[0].lower()]))
        told = caption[: word.start()] + false + caption[word.end() :]
        return Question(
            f"One word of this caption is false: {told} Which?",
            false,
            (picture.image,),
            tags={"true": word[0]},
        )
