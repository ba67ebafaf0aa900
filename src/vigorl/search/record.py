"""The file of a search: one finished tree per line, whole or not at all.

    with TreeRecorder(folder / "trees.jsonl") as recorder:
        todo = [task for task in tasks if task.id not in recorder.done]
        for tree in grow_forest(engine, environment, todo, settings, run_seed=0):
            recorder.write(tree)

The format is the released one (`data/sources/mcts_jsonl.py`). A line says nothing of when or beside
what it was made, so a search that was killed and gone on with leaves the lines of one that was not,
in the order in which its trees were finished.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

from vigorl.core.errors import DataError
from vigorl.core.search_tree import SearchTreeRecord
from vigorl.data.sources.mcts_jsonl import iter_tree_ids, tree_row
from vigorl.rollout.recorder import cut_torn_line


class TreeRecorder:
    """Appends trees to a JSONL file; one process per file.

    Args:
        path: Created with its folders; an existing file is continued, without the torn line of a
            crash.
    Attributes:
        done: Ids of the trees that the file holds.
    Raises:
        DataError: A line is no object with an id and a tree; what is in the trees is not looked at.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.done: set[str] = set()
        if self.path.exists():
            cut_torn_line(self.path)
            self.done = set(iter_tree_ids(self.path))
        self._file = open(self.path, "ab")  # noqa: SIM115 - stays open until close

    def write(self, tree: SearchTreeRecord) -> None:
        """Append a tree; when this returns, the line is on the disk.

        Raises:
            DataError: The file has a tree of that id.
        """
        if tree.id in self.done:
            raise DataError(f"a tree of {tree.id} is there already", path=self.path)
        row = tree_row(tree, root=self.path.parent)
        line = json.dumps(row, allow_nan=False, separators=(",", ":")) + "\n"
        self._file.write(line.encode("ascii"))
        self._file.flush()
        os.fsync(self._file.fileno())
        self.done.add(tree.id)

    def close(self) -> None:
        self._file.close()

    def __enter__(self) -> TreeRecorder:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
