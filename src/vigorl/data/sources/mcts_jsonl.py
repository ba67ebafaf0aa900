"""The released search rollouts: one whole tree per line, as the teacher's search left it.

    {"id": 7, "question": "...", "image": "a.jpg", "true_answer": "red", "system_prompt": "...",
     "tree": {"thought_text": "...", "is_terminal": false, "value": 0.5, "visit_count": 2,
              "rollouts": [{"final_answer": "red", "reward": 1.0, "ephemeral_texts": ["..."]}],
              "children": [...], "used_coords": [[50, 20]]}}

Our own keys: "frame" ([width, height] that points refer to; when missing, the file's size, or 1 x 1
where all of them are shares of it, 0 to 1),
"solved_at", "num_simulations", "checked_by", "is_hit" of a node; of the question "options",
"targets" and "category" as in `rl_jsonl`, "scorer" (`data.plain`) and "more_images" (those behind
the first, which is looked into). Our rows say "format": 2; those without one are released, or of
vigorl 0.1, which wrote "answer_kind" ("text", "point" or "action") for "scorer".

Turning a tree into chains is the business of `search`.
Source: `src/vlmsearch/tree_search/mcts_search.py` of the released code.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from vigorl.core.geometry import Box, Point, Size
from vigorl.core.records import TaskRecord
from vigorl.core.scoring import Scorer, TextMatch
from vigorl.core.scoring.upgrade import scorer_of_kind
from vigorl.core.search_tree import CheckedBy, SearchNode, SearchRollout, SearchTreeRecord
from vigorl.core.trace import IMAGE_SLOT
from vigorl.data.faults import Rules
from vigorl.data.plain import read_scorer, to_plain
from vigorl.data.sources.files import collect, line_rows, read_lines
from vigorl.data.sources.rows import Row, are_shares, numbers, relative_name

FORMAT = 2
OWN = Rules(pictures_anywhere=True)  # a search names pictures by the way there from its own folder


def read_mcts_jsonl(
    path: str | Path, *, image_root: str | Path | None = None, rules: Rules = OWN
) -> Sequence[SearchTreeRecord]:
    """The trees of a file (all lines: the released scripts read the first only).

    Args:
        path: The JSONL file.
        image_root: Where its picture names start; the file's own folder when None.
        rules: What becomes of bad trees.
    Raises:
        DataError: With file and line: a missing key or picture, or a malformed node (says where in
            the tree).
    """
    return collect(line_rows(path, image_root=image_root), _record, rules=rules)


def iter_tree_ids(path: str | Path) -> Iterator[str]:
    """The ids of a file's trees, whose nodes are not looked at.

    Raises:
        DataError: With file and line, when it is reached: no object with an "id" and a "tree".
    """
    for row in read_lines(path):
        _tree(row)
        yield row.identity(is_required=True)


def tree_task(tree: SearchTreeRecord, *, scorer: Scorer | None = None) -> TaskRecord:
    """The question of a tree as a task, for trees whose task rows are not at hand.

    Args:
        tree: Its question may open with an `<image>` slot.
        scorer: Judges its answers where the tree does not say (released ones do not); by their
            text when None. A box to hit is then read from the right answer.
    Raises:
        DataError: The answer is not what the scorer reads, or slots do not fit the pictures.
    """
    row, images = Row({}, Path(tree.source or tree.image)), (tree.image, *tree.more_images)
    row.check_slots(tree.question, num_images=len(images))
    scorer = tree.scorer or row.scorer(
        scorer or TextMatch(), tree.answer, key="true_answer", image=tree.image
    )
    question = tree.question
    if len(images) == 1:
        question = question.removeprefix(IMAGE_SLOT).lstrip("\n")
    return TaskRecord(
        id=tree.id,
        question=question,
        answer=tree.answer,
        images=images,
        scorer=scorer,
        options=tree.options,
        targets=tree.targets,
        category=tree.category,
        source=tree.source,
    )


def _record(row: Row) -> SearchTreeRecord:
    image, answer = row.picture(row.text("image")), row.text("true_answer")
    root, frame = _node(replace(row, values=_tree(row), name="tree")), row.size("frame")
    points = [point for node in root.walk() for point in node.used_points]
    if frame is None and are_shares(n for point in points for n in (point.x, point.y)):
        row.notes["trees point in shares of the picture (0 to 1), and are taken so"] += 1
        frame = Size(1, 1)
    tree = SearchTreeRecord(
        id=row.identity(),
        question=row.text("question"),
        answer=answer,
        image=image,
        root=root,
        system_prompt=row.text("system_prompt", default=""),
        source=row.source,
        frame=frame,
        solved_at=_count(row, "solved_at"),
        num_simulations=_count(row, "num_simulations"),
        checked_by=_checked_by(row),
        more_images=tuple(map(row.picture, row.texts("more_images", is_required=False))),
        scorer=_scorer(row, answer, image),
        options=row.options(answer),
        targets=_targets(row, image),
        category=row.text("category", default=""),
    )
    row.checked(tree_task(tree))
    return tree


def _tree(row: Row) -> dict[str, Any]:
    tree = row.values.get("tree")
    if not isinstance(tree, dict):
        row.fail('"tree" must be an object')
    return tree


def tree_row(record: SearchTreeRecord, *, root: str | Path) -> dict[str, Any]:
    """A tree as a line's object; the inverse of what `read_mcts_jsonl` makes of it.

    Args:
        record: A tree; its `source` is not kept.
        root: The folder from which its pictures are named.
    """
    frame = record.frame
    return {
        "format": FORMAT,
        "id": record.id,
        "question": record.question,
        "image": relative_name(record.image, root=Path(root)),
        "true_answer": record.answer,
        "system_prompt": record.system_prompt,
        "frame": None if frame is None else [frame.width, frame.height],
        "solved_at": record.solved_at,
        "num_simulations": record.num_simulations,
        "checked_by": record.checked_by,
        **_question_keys(record, root=Path(root)),
        "tree": _node_row(record.root),
    }


def _question_keys(record: SearchTreeRecord, *, root: Path) -> dict[str, Any]:
    """Our own keys of the question; only where there is something to say."""
    keys = {
        "more_images": [relative_name(image, root=root) for image in record.more_images],
        "scorer": to_plain(record.scorer),
        "options": list(record.options),
        "targets": [numbers(box, form="xyxy") for box in record.targets],
        "category": record.category,
    }
    return {key: value for key, value in keys.items() if value}


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


def _scorer(row: Row, answer: str, image: str) -> Scorer | None:
    found = row.values.get("format", 1)
    if found not in (1, FORMAT):
        row.fail(f'"format" must be {FORMAT}, or missing as in older and released files')
    kind, plain = row.values.get("answer_kind"), row.values.get("scorer")
    if found == FORMAT:
        try:
            return None if plain is None else read_scorer(plain)
        except ValueError as error:
            row.fail(str(error))
    if kind is None:
        return None
    try:
        scorer = scorer_of_kind(kind)
    except ValueError as error:
        row.fail(f'"answer_kind" {error}')
    return row.scorer(scorer, answer, key="true_answer", image=image)


def _targets(row: Row, image: str) -> tuple[Box, ...]:
    if "targets" not in row.values:
        return ()
    return row.boxes("targets", form="xyxy", on=row.picture_size(image))


def _count(row: Row, key: str) -> int | None:
    return None if row.values.get(key) is None else row.count(key)


def _checked_by(row: Row) -> CheckedBy | None:
    name = row.values.get("checked_by")
    if name is not None and name not in list(CheckedBy):
        row.fail(f'"checked_by" must be {", ".join(CheckedBy)} or missing, got {name!r}')
    return None if name is None else CheckedBy(name)


def _node(row: Row) -> SearchNode:
    return SearchNode(
        text=row.text("thought_text"),
        is_terminal=bool(row.flag("is_terminal")),
        value=row.number("value"),
        num_visits=row.count("visit_count"),
        rollouts=tuple(map(_rollout, _below(row, "rollouts"))),
        children=tuple(map(_node, _below(row, "children"))),
        used_points=tuple(_points(row)),
        is_hit=row.flag("is_hit"),
    )


def _below(row: Row, key: str) -> Iterator[Row]:
    """The objects under a node's key, each with its place in the tree."""
    for index, values in enumerate(row.objects(key, is_required=False)):
        yield replace(row, values=values, name=f"{row.name}.{key}[{index}]")


def _rollout(row: Row) -> SearchRollout:
    answer = row.values.get("final_answer")
    return SearchRollout(
        answer=None if answer is None else row.text("final_answer"),
        reward=row.number("reward"),
        texts=row.texts("ephemeral_texts", is_required=False),
    )


def _points(row: Row) -> Iterator[Point]:
    pairs = row.values.get("used_coords")
    if not isinstance(pairs, list | None):
        row.fail(f'"used_coords" must be a list of [x, y] pairs, got {pairs!r:.80}')
    for pair in pairs or []:
        if not isinstance(pair, list) or len(pair) != 2:
            row.fail(f'"used_coords" must hold [x, y] pairs, got {pair!r:.80}')
        x, y = (replace(row, values={"used_coords": n}).number("used_coords") for n in pair)
        yield Point(x, y)
