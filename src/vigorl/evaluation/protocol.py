"""What a score depends on besides the weights, and a fingerprint of it that travels with the score.

Two scores are comparable when their fingerprints are equal. A benchmark's YAML is its protocol; a
run with other settings is still scored, as a modified one.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Protocol:
    """How a policy was asked and judged.

    Attributes:
        name: The benchmark's, or the evaluation's.
        settings: All of it, JSON values: prompt texts, tools, limits, decoding, pixels, rollouts
            per question, the questions' fingerprint, scorers and metrics.
        changed: Settings, by dotted key, that are not what the benchmark locks; sorted.
    """

    name: str
    settings: Mapping[str, Any]
    changed: tuple[str, ...] = ()

    @property
    def fingerprint(self) -> str:
        """16 hexadecimal digits of the settings; the same wherever data and model lie."""
        text = json.dumps(self.settings, sort_keys=True, ensure_ascii=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    @property
    def judged_by(self) -> list[str]:
        """A line for a report: the protocol that reads the answers, and the model that judges them,
        where it is not the policy's own with the rules of the scorers.
        """
        own: Any = self.settings.get("judging") or {}
        rules = own.get("rules") or own
        kind = str(rules.get("_target_", "."))
        is_own = kind in (".", "vigorl.evaluation.judging.AsTrained")
        parts = [] if is_own else [f"read as by {kind.split('.')[-2]}"]
        parts += [f"judged by {own['model']}"] if "model" in own else []
        return [f"answers: {', '.join(parts)}"] if parts else []

    @property
    def told(self) -> list[str]:
        """Lines for a report: how answers were made, and how they were judged."""
        rule: Any = self.settings.get("inference") or {}
        parts = [str(rule.get("rule")), *(f"{k} {v}" for k, v in rule.items() if k != "rule")]
        return [*([f"inference: {', '.join(parts)}"] if rule else []), *self.judged_by]

    def differences(self, other: Protocol) -> list[str]:
        """The dotted keys of settings that differ or that only one has, sorted; lists count as
        wholes.
        """
        return _differing(self.settings, other.settings)

    def __str__(self) -> str:
        modified = f", modified: {', '.join(self.changed)}" if self.changed else ""
        return f"{self.name} {self.fingerprint}{modified}"


def changed_settings(shipped: Mapping[str, Any], settings: Mapping[str, Any]) -> list[str]:
    """The dotted keys in which the settings are not what ships, those added to it too; sorted."""
    return _differing(shipped, settings)


def _differing(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    a, b, absent = dict(_leaves(one)), dict(_leaves(other)), object()
    return sorted(key for key in a | b if a.get(key, absent) != b.get(key, absent))


def _leaves(node: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in node.items():
        if isinstance(value, Mapping) and value:
            yield from _leaves(value, f"{path}{key}.")
        else:
            yield f"{path}{key}", value
