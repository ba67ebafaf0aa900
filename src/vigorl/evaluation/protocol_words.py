"""In what two protocols differ, for people: each setting in words, with both of its values.

the most pixels of a picture (pixels.max_pixels): 12544 -> 200000
"""

from __future__ import annotations

import json
from typing import Any

from vigorl.evaluation.protocol import Protocol

_WORDS = {  # the key, or the longest part of it that stands here
    "env": "how questions are asked",
    "env.eval_temperature": "the temperature of answers",
    "env.limits": "a limit of the dialog",
    "env.limits.forced_answer": "whether an answer is forced at the end",
    "env.limits.max_calls_per_turn": "the most tool calls of a turn",
    "env.limits.max_images": "the most pictures of a dialog",
    "env.limits.max_new_tokens": "the most tokens of a reply",
    "env.limits.max_turns": "the most turns",
    "env.markup": "how calls are written",
    "env.prompt": "the prompt",
    "env.tools": "the tools",
    "pixels.max_pixels": "the most pixels of a picture",
    "pixels.min_pixels": "the fewest pixels of a picture",
    "samples_per_task": "answers to each question",
    "benchmark": "how the benchmark is read",
    "benchmark.metrics": "what it is quoted by",
    "benchmark.option_order": "the order of options",
    "benchmark.option_seed": "the seed of the order of options",
    "questions.fingerprint": "the questions or their pictures themselves",
    "questions.number": "how many questions are asked",
    "questions.of": "how many questions there are",
    "judging": "how answers are read and judged",
    "judging.model": "the model that judges",
    "judging.prompt": "the prompt of the model that judges",
    "scorers": "how answers are scored",
    "inference": "how an answer is made of what is sampled",
}
_LONGEST = 50  # characters of a value
_BEFORE = 12  # of them before the first that differs


def told_differences(before: Protocol, after: Protocol) -> list[str]:
    """One line per setting that differs, with its value before and after."""
    return [_told(key, before, after) for key in before.differences(after)]


def _told(key: str, before: Protocol, after: Protocol) -> str:
    one, other = _text(before, key), _text(after, key)
    pairs = zip(one, other, strict=False)
    start = next((i for i, (a, b) in enumerate(pairs) if a != b), min(len(one), len(other)))
    cut = max(0, start - _BEFORE) if max(len(one), len(other)) > _LONGEST else 0
    return f"{_words(key)} ({key}): {_part(one, cut)} -> {_part(other, cut)}"


def _words(key: str) -> str:
    parts = key.split(".")
    heads = (".".join(parts[:n]) for n in range(len(parts), 0, -1))
    return next((_WORDS[head] for head in heads if head in _WORDS), "a setting")


def _text(protocol: Protocol, key: str) -> str:
    node: Any = protocol.settings
    *parents, last = _path(node, key)
    for parent in parents:
        node = node.get(parent, {}) if isinstance(node, dict) else {}
    is_there = isinstance(node, dict) and last in node
    return json.dumps(node[last], ensure_ascii=False) if is_there else "(absent)"


def _path(node: Any, key: str) -> list[str]:
    """A dotted key as its parts, of which names such as "tasks v1.5" may hold dots."""
    head = key
    while isinstance(node, dict) and "." in head and head not in node:
        head = head.rpartition(".")[0]
    rest = key[len(head) + 1 :]
    return [head, *_path(node.get(head), rest)] if rest and isinstance(node, dict) else [key]


def _part(text: str, start: int) -> str:
    part = text[start : start + _LONGEST]
    return "…" * (start > 0) + part + "…" * (start + _LONGEST < len(text))
