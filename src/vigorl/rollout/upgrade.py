"""Recorded rollouts of earlier formats, brought up to today's.

Format 1 (vigorl 0.1) knew one picture per turn, by its file, and the place it was cut around; and
three kinds of answer. Format 2 knew neither clusters nor tags of tasks. Format 3 knew neither the
weights of a reward's parts nor what turns were paid. Format 4 knew one policy version for all
turns.
"""

from __future__ import annotations

from typing import Any

from vigorl.core.geometry import Box
from vigorl.core.scoring.upgrade import scorer_of_kind
from vigorl.data.plain import to_plain


def upgrade_v1(plain: dict[str, Any]) -> dict[str, Any]:
    """The fields of a line of format 1, without its "format", as those of format 2.

    Raises:
        ValueError: A field of format 1 is missing.
    """
    try:
        rollout = plain["scored"]["rollout"]
        rollout["task"] = _task(rollout["task"])
        rollout["prompt_views"] = [_view(view) for view in rollout["prompt_views"]]
        rollout["probes"] = {}
        for turn in rollout["turns"]:
            view, point = turn.pop("view"), turn.pop("point")
            turn["views"] = [] if view is None else [_view(view)]
            box = None if view is None else view["box"]
            turn["focus"] = None if point is None else {"point": point, "box": box, "picture": 0}
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"not a line of format 1: {error!r}") from error
    return plain


def upgrade_v2(plain: dict[str, Any]) -> dict[str, Any]:
    """The fields of a line of format 2 as those of format 3.

    Raises:
        ValueError: There is no task.
    """
    try:
        rollout = plain["scored"]["rollout"]
        rollout["task"] = {"cluster": "", "tags": {}} | rollout["task"]
    except (KeyError, TypeError) as error:
        raise ValueError(f"not a line of format 2: {error!r}") from error
    return plain


def upgrade_v3(plain: dict[str, Any]) -> dict[str, Any]:
    """The fields of a line of format 3 as those of format 4.

    Raises:
        ValueError: There is no reward.
    """
    try:
        scored = plain["scored"]
        scored["reward"] = {"weights": {}, "turns": [], "missing": []} | scored["reward"]
    except (KeyError, TypeError) as error:
        raise ValueError(f"not a line of format 3: {error!r}") from error
    return plain


def upgrade_v4(plain: dict[str, Any]) -> dict[str, Any]:
    """The fields of a line of format 4 as those of format 5.

    Raises:
        ValueError: There is no rollout.
    """
    try:
        plain["scored"]["rollout"].setdefault("turn_versions", [])
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"not a line of format 4: {error!r}") from error
    return plain


def _task(task: dict[str, Any]) -> dict[str, Any]:
    box = task.pop("answer_box")
    scorer = scorer_of_kind(task.pop("answer_kind"), box=None if box is None else Box(**box))
    return task | {"scorer": to_plain(scorer)}


def _view(view: dict[str, Any]) -> dict[str, Any]:
    fields = {key: view[key] for key in ("original", "size", "box")}
    return {"source": {"path": view["path"]}, **fields, "frame": "pixels"}
