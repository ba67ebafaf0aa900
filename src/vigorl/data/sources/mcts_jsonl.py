"""The released search rollouts: one whole tree per line, as the teacher's search left it.

    {"id": 7, "question": "...", "image": "a.jpg", "true_answer": "red", "system_prompt": "...",
     "tree": {"thought_text": "...", "is_terminal": false, "value": 0.5, "visit_count": 2,
              "rollouts": [{"final_answer": "red", "reward": 1.0, "ephemeral_texts": ["..."]}],
              "children": [...], "used_coords": [[50, 20]]}}

Only read here; turning a tree into chains is the business of `search`.
Source: `src/vlmsearch/tree_search/mcts_search.py` of the released code.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from vigorl.core.geometry import Point
from vigorl.core.records import AnswerKind, TaskRecord
from vigorl.core.search_tree import SearchNode, SearchRollout, SearchTreeRecord
from vigorl.core.trace import IMAGE_SLOT
from vigorl.data.sources.rows import Row, read_lines


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
    )


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
    )


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
