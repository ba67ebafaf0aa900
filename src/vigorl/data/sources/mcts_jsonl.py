"""The released search rollouts: one whole tree per line, as the teacher's search left it.

    {"id": 7, "question": "...", "image": "a.jpg", "true_answer": "red", "system_prompt": "...",
     "tree": {"thought_text": "...", "is_terminal": false, "value": 0.5, "visit_count": 2,
              "rollouts": [{"final_answer": "red", "reward": 1.0, "ephemeral_texts": ["..."]}],
              "children": [...], "used_coords": [[50, 20]]}}

Our own keys: "frame" ([width, height] that points refer to; the file's size when missing),
"solved_at", "num_simulations", "checked_by", and "is_hit" of a node. Turning a tree into chains is
the business of `search`.
Source: `src/vlmsearch/tree_search/mcts_search.py` of the released code.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from vigorl.core.geometry import Point, Size
from vigorl.core.records import AnswerKind, TaskRecord
from vigorl.core.search_tree import CheckedBy, SearchNode, SearchRollout, SearchTreeRecord
from vigorl.core.trace import IMAGE_SLOT
from vigorl.data.sources.rows import Row, read_lines, relative_name


def read_mcts_jsonl(
    path: str | Path, *, image_root: str | Path | None = None
) -> list[SearchTreeRecord]:
    """Every tree of a file (all lines: the released scripts read the first only).

    Args:
        path: The JSONL file.
        image_root: Where its picture names start; the file's own folder when None.
    Raises:
        DataError: With file and line: a missing key or picture, or a malformed node (says where in
            the tree).
    """
    path = Path(path)
    root = path.parent if image_root is None else Path(image_root)
    return [_record(row, root=root) for row in read_lines(path)]


def tree_task(tree: SearchTreeRecord, *, answer_kind: AnswerKind = AnswerKind.TEXT) -> TaskRecord:
    """The question of a tree as a task, for trees whose task rows are not at hand.

    Args:
        tree: Its question may open with an `<image>` slot; a POINT answer is the box to hit, as
            text.
        answer_kind: How its answers are judged; the file does not say.
    Raises:
        DataError: A POINT answer is no box on the picture, or slots do not fit one picture.
    """
    row = Row({}, Path(tree.source or tree.image))
    row.check_slots(tree.question, num_images=1)
    box = None
    if answer_kind is AnswerKind.POINT:
        box = row.point_target(tree.answer, key="true_answer", on=row.picture_size(tree.image))
    return TaskRecord(
        id=tree.id,
        question=tree.question.removeprefix(IMAGE_SLOT).lstrip("\n"),
        answer=tree.answer,
        images=(tree.image,),
        answer_kind=answer_kind,
        answer_box=box,
        source=tree.source,
    )


def _record(row: Row, *, root: Path) -> SearchTreeRecord:
    tree = row.values.get("tree")
    if not isinstance(tree, dict):
        row.fail('"tree" must be an object')
    return SearchTreeRecord(
        id=row.identity(default=f"{row.path.stem}:{row.line}"),
        question=row.text("question"),
        answer=row.text("true_answer"),
        image=row.picture(row.text("image"), root=root),
        root=_node(replace(row, values=tree, name="tree")),
        system_prompt=row.text("system_prompt", default=""),
        source=row.source,
        frame=_frame(row),
        solved_at=_count(row, "solved_at"),
        num_simulations=_count(row, "num_simulations"),
        checked_by=_checked_by(row),
    )


def tree_row(record: SearchTreeRecord, *, root: str | Path) -> dict[str, Any]:
    """A tree as a line's object; the inverse of what `read_mcts_jsonl` makes of it.

    Args:
        record: A tree; its `source` is not kept.
        root: The folder from which its picture is named.
    """
    frame = record.frame
    return {
        "id": record.id,
        "question": record.question,
        "image": relative_name(record.image, root=Path(root)),
        "true_answer": record.answer,
        "system_prompt": record.system_prompt,
        "frame": None if frame is None else [frame.width, frame.height],
        "solved_at": record.solved_at,
        "num_simulations": record.num_simulations,
        "checked_by": record.checked_by,
        "tree": _node_row(record.root),
    }


def _node_row(node: SearchNode) -> dict[str, Any]:
    return {
        "thought_text": node.text,
        "is_terminal": node.is_terminal,
        "value": node.value,
        "visit_count": node.num_visits,
        "rollouts": [
            {"final_answer": r.answer, "reward": r.reward, "ephemeral_texts": list(r.texts)}
            for r in node.rollouts
        ],
        "children": [_node_row(child) for child in node.children],
        "used_coords": [[point.x, point.y] for point in node.used_points],
        **({} if node.is_hit is None else {"is_hit": node.is_hit}),
    }


def _frame(row: Row) -> Size | None:
    frame = row.values.get("frame")
    if frame is None:
        return None
    if not (isinstance(frame, list) and len(frame) == 2 and all(type(n) is int for n in frame)):
        row.fail(f'"frame" must be [width, height], got {frame!r}')
    return Size(*frame)


def _count(row: Row, key: str) -> int | None:
    return None if row.values.get(key) is None else int(row.number(key))


def _checked_by(row: Row) -> CheckedBy | None:
    name = row.values.get("checked_by")
    if name is not None and name not in list(CheckedBy):
        row.fail(f'"checked_by" must be {", ".join(CheckedBy)} or missing, got {name!r}')
    return None if name is None else CheckedBy(name)


def _node(row: Row) -> SearchNode:
    children = row.objects("children") if row.values.get("children") else []
    return SearchNode(
        text=row.text("thought_text"),
        is_terminal=bool(row.values.get("is_terminal", False)),
        value=row.number("value"),
        num_visits=int(row.number("visit_count")),
        rollouts=tuple(
            _rollout(replace(row, values=values, name=f"{row.name}.rollouts[{i}]"))
            for i, values in enumerate(
                row.objects("rollouts") if row.values.get("rollouts") else []
            )
        ),
        children=tuple(
            _node(replace(row, values=values, name=f"{row.name}.children[{i}]"))
            for i, values in enumerate(children)
        ),
        used_points=tuple(_points(row)),
        is_hit=_hit(row),
    )


def _hit(row: Row) -> bool | None:
    hit = row.values.get("is_hit")
    if hit is not None and not isinstance(hit, bool):
        row.fail(f'"is_hit" must be true, false or missing, got {hit!r}')
    return hit


def _rollout(row: Row) -> SearchRollout:
    answer = row.values.get("final_answer")
    return SearchRollout(
        answer=None if answer is None else row.text("final_answer"),
        reward=row.number("reward"),
        texts=row.texts("ephemeral_texts", is_required=False),
    )


def _points(row: Row) -> Iterator[Point]:
    for pair in row.values.get("used_coords") or []:
        if not isinstance(pair, list) or len(pair) != 2:
            row.fail(f'"used_coords" must hold [x, y] pairs, got {pair!r}')
        x, y = (replace(row, values={"used_coords": n}).number("used_coords") for n in pair)
        yield Point(x, y)
