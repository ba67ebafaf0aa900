"""The flags of `python -m vigorl.doctor --plan`, which Hydra does not know; read before torch is
imported.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass

from vigorl.core.devices import DEVICES


@dataclass(frozen=True, slots=True)
class Asked:
    """The flags of `--plan`.

    Attributes:
        device: A name of `core.devices`; "" is this machine.
        turns: Of a rollout, in the mean; None: as many as it may have.
        tokens: Sampled in a turn, in the mean; None: as many as it may have.
        prompt: Of a prompt's text; None: what the doctor's memory counts, cautiously.
    """

    device: str = ""
    turns: float | None = None
    tokens: float | None = None
    prompt: float | None = None


def split_flags(words: Sequence[str]) -> tuple[Asked | None, list[str]]:
    """The flags of a plan, and the command line without them; None without `--plan`.

    >>> split_flags(["--plan", "--device=h100", "scale=tiny"])
    (Asked(device='h100', turns=None, tokens=None, prompt=None), ['scale=tiny'])
    """
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False, prog="vigorl.doctor")
    parser.add_argument("--plan", action="store_true")
    parser.add_argument("--device", default="", choices=["", *(one.name for one in DEVICES)])
    for number in ("--turns", "--tokens", "--prompt"):
        parser.add_argument(number, type=_above_zero)
    if "--plan" not in words:
        return None, list(words)
    said, others = parser.parse_known_args(words)
    return Asked(said.device, said.turns, said.tokens, said.prompt), others


def _above_zero(text: str) -> float:
    value = float(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"must be above 0, got {text}")
    return value
