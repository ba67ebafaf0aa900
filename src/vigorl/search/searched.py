"""Search trees with their questions and pictures: what traces are made of, and what rules keep."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Self, overload

from vigorl.core.geometry import Size
from vigorl.core.media import ImageView, TextFrame
from vigorl.core.records import TaskRecord
from vigorl.core.search_tree import SearchTreeRecord

if TYPE_CHECKING:  # it imports torch
    from vigorl.data.images import ImageStore


@dataclass(frozen=True, slots=True)
class SearchedTask:
    """A tree with what is needed to read it.

    Attributes:
        tree: What the search left.
        task: Its question (`data.sources.mcts_jsonl.tree_task` when only the tree is there).
        image: The whole picture as the teacher saw it.
    """

    tree: SearchTreeRecord
    task: TaskRecord
    image: ImageView

    @classmethod
    def of(cls, tree: SearchTreeRecord, task: TaskRecord, images: ImageStore) -> Self:
        """With the picture in the tree's own frame, whatever size this run shows pictures at."""
        whole = images.whole(tree.image, source=tree.source)
        size = tree.frame or whole.original
        frame = TextFrame.UNIT if size == Size(1, 1) else TextFrame.PIXELS
        return cls(tree, task, replace(whole, size=size, frame=frame))


class SearchedTrees(Sequence[SearchedTask]):
    """Each tree with its question, put together when it is asked for: the trees of a long file are
    not kept (`data.sources.files.FileRecords`).

    Args:
        trees: As they were read.
        ids: [len(trees)] Theirs, known without reading them.
        tasks: Their questions by id.
        images: Gives the pictures.
    """

    def __init__(
        self,
        trees: Sequence[SearchTreeRecord],
        ids: Sequence[str],
        *,
        tasks: Mapping[str, TaskRecord],
        images: ImageStore,
    ) -> None:
        self._trees, self.ids, self._tasks, self._images = trees, ids, tasks, images

    def __len__(self) -> int:
        return len(self._trees)

    @overload
    def __getitem__(self, index: int) -> SearchedTask: ...
    @overload
    def __getitem__(self, index: slice) -> SearchedTrees: ...
    def __getitem__(self, index: int | slice) -> SearchedTask | SearchedTrees:
        if not isinstance(index, slice):
            found = self._trees[index]
            return SearchedTask.of(found, self._tasks[found.id], self._images)
        found = self._trees[index]
        return SearchedTrees(found, self.ids[index], tasks=self._tasks, images=self._images)
