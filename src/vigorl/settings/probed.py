"""Whether the probes of a run find what its reward and its algorithm read of every rollout."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from vigorl.core.protocols import ReadsProbes
from vigorl.resolvers import CONFIGS


def unasked(reward: object, plain: Mapping[str, Any]) -> Iterator[str]:
    """What is wrong, in a line each, where rollouts are learned from.

    Args:
        reward: The run's.
        plain: The settings.
    """
    if not plain.get("datamodule", {}).get("plan") or "module" not in plain:
        return
    probes = plain.get("probes") or {}
    if isinstance(reward, ReadsProbes):
        yield from _unasked(f"reward {reward.name!r}", reward.probe_numbers, probes)
    factor = (plain["module"].get("algorithm") or {}).get("prompt_factor") or {}
    if "number" in factor:
        yield from _unasked("algorithm.prompt_factor", [factor["number"]], probes)


def _unasked(who: str, numbers: Iterable[str], probes: Mapping[str, Any]) -> Iterator[str]:
    for number in numbers:
        found = _finder(number, probes)
        if found is None:
            shipped = [path.stem for path in Path(CONFIGS, "probes").glob("*.yaml")]
            needed = _finder(number, shipped) or number
            yield f"{who} reads {number!r} of every rollout: it needs probes=[{needed}]"
            continue
        schedule = probes[found].get("schedule") or {}
        if schedule.get("every", 1) != 1 or schedule.get("num_rollouts") is not None:
            at = f"probes.{found}.schedule"
            yield (
                f"{who} reads {number!r} of every rollout: it needs {at}.every=1 and "
                f"{at}.num_rollouts=null"
            )


def _finder(number: str, probes: Iterable[str]) -> str | None:
    """The probe whose numbers begin with its name; of several the longest."""
    named = [name for name in probes if number == name or number.startswith(f"{name}_")]
    return max(named, key=len, default=None)
