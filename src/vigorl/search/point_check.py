"""Whether thoughts point where they should, asked of a judge model where the data has no boxes.

    check.submit(tree)               # the search goes on
    for tree in check.poll(): ...    # those whose verdicts are in
    for tree in check.finish(): ...  # the rest, waited for

One question for each thought with points (`point_prompt.py`). Verdicts are taken by thought, so the
order in which they arrive changes nothing.

A reply without a verdict, or none at all, leaves `is_hit` at None, never at "no". While the judge
is silent, trees are held back, since one that is on the disk is not checked again; after 16
questions in a row without a reply it counts as out of reach. Fewer than that at the end of a search
leave their thoughts unchecked, unless there never was a reply.

Left out: verdicts on rollouts. Their texts are no nodes, and they are most of what a chain tells,
so chains are not filtered by verdicts either.
"""

from __future__ import annotations

import queue
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Self

from vigorl.core.errors import ConfigError, EngineError
from vigorl.core.media import FileImage, ImageView
from vigorl.core.protocols import Scene, Tool
from vigorl.core.records import TaskRecord
from vigorl.core.search_metrics import NumberedNode, numbered_nodes
from vigorl.core.search_tree import CheckedBy, SearchNode, SearchTreeRecord
from vigorl.core.trace import parse_turn
from vigorl.data.images import open_image, read_size
from vigorl.rollout.judge import HOPELESS, ChatJudge, Judge, JudgePrompt
from vigorl.search.point_prompt import point_prompt, read_verdict

_OPEN_PICTURES = 4  # decoded ones in memory; thoughts of a tree share theirs


@dataclass(slots=True, eq=False)
class _Checked:
    """A tree on its way.

    Attributes:
        tree: As the search left it.
        hits: By the thought's number; the question is 0.
        num_open: Thoughts whose reply is to come.
    """

    tree: SearchTreeRecord
    hits: list[bool | None]
    num_open: int = 0


class PointCheck:
    """Asks a judge about the thoughts of finished trees, in the background.

    Args:
        judge: Who is asked.
        tools: By name; what a thought's call showed is cut again.
        max_side_px: Longer side of the picture that the judge sees; the file's own if that is less.
    Raises:
        ConfigError: max_side_px < 64.
    """

    def __init__(self, judge: Judge, *, tools: Mapping[str, Tool], max_side_px: int = 1024) -> None:
        if max_side_px < 64:
            raise ConfigError(f"check.max_side_px must be at least 64, got {max_side_px}")
        self._judge, self._tools, self._max_side_px = judge, tools, max_side_px
        self._read = lru_cache(_OPEN_PICTURES)(open_image)
        self._open: dict[Future[str], tuple[_Checked, int]] = {}
        self._replies: queue.SimpleQueue[Future[str]] = queue.SimpleQueue()
        self._held: list[_Checked] = []  # complete, but the judge is silent
        self._ready: list[_Checked] = []
        self._has_reply, self._num_failed, self._last_error = False, 0, ""

    @classmethod
    def connect(
        cls,
        *,
        tools: Mapping[str, Tool],
        urls: Sequence[str],
        model: str,
        max_side_px: int = 1024,
        **judge_settings: Any,
    ) -> Self:
        """A check by a model behind a chat endpoint; sends nothing yet.

        Args:
            tools: As above.
            urls: Base URLs of servers of the same model.
            model: The served model's name; it must take pictures.
            max_side_px: As above.
            judge_settings: Others of `ChatJudge`.
        Raises:
            ConfigError: A bad setting, by its key.
        """
        judge = ChatJudge(urls, model=model, section="check", **judge_settings)
        return cls(judge, tools=tools, max_side_px=max_side_px)

    @property
    def num_waiting(self) -> int:
        """Trees that have been submitted and not handed out."""
        being_checked = {id(checked) for checked, _ in self._open.values()}
        return len(being_checked) + len(self._held) + len(self._ready)

    def submit(self, tree: SearchTreeRecord) -> None:
        """Ask about every thought of a finished tree that has points and is not checked.

        A thought none of whose points is on the picture is a miss without asking.
        """
        original = read_size(tree.image, source=tree.source or None)
        whole = ImageView(FileImage(tree.image), original, tree.frame or original)
        places = numbered_nodes(tree.root)
        checked = _Checked(tree, [place.node.is_hit for place in places])
        for place in places:
            if not place.points or place.node.is_hit is not None:
                continue
            if not any(whole.holds(point) for point in place.points):
                checked.hits[place.number] = False
                continue
            reply = self._judge.submit(self._prompt(place, tree, whole))
            self._open[reply] = (checked, place.number)
            reply.add_done_callback(self._replies.put)
            checked.num_open += 1
        if not checked.num_open:
            self._ready.append(checked)

    def poll(self) -> list[SearchTreeRecord]:
        """The trees whose verdicts are in, without waiting.

        Raises:
            EngineError: The judge is out of reach; what was checked before has been handed out.
            DataError: A picture cannot be read.
        """
        while not self._is_hopeless and not self._replies.empty():
            self._take(self._replies.get())
        if self._is_hopeless and not self._ready:
            raise self._out_of_reach()
        return self._hand_out()

    def finish(self) -> Iterator[SearchTreeRecord]:
        """The trees that are left, each as soon as its verdicts are in.

        Raises:
            EngineError: The judge is out of reach; or no question ever got a reply.
            DataError: A picture cannot be read.
        """
        while self._open:
            if not self._is_hopeless:
                self._take(self._replies.get())
            yield from self.poll()
        yield from self._hand_out()
        if self._is_hopeless or (self._num_failed and not self._has_reply):
            raise self._out_of_reach()
        self._ready, self._held = self._held, []
        yield from self._hand_out()

    def cancel(self) -> None:
        """Let go of all trees, and ask no more."""
        waiting = list(self._open)
        for trees in (self._open, self._held, self._ready):
            trees.clear()
        self._num_failed = 0
        for reply in waiting:
            reply.cancel()

    @property
    def _is_hopeless(self) -> bool:
        return self._num_failed >= HOPELESS

    def _take(self, reply: Future[str]) -> None:
        if reply not in self._open:
            return  # it was let go
        checked, number = self._open.pop(reply)
        checked.num_open -= 1
        try:
            checked.hits[number] = read_verdict(reply.result())
            self._has_reply, self._num_failed = True, 0
        except EngineError as error:
            self._num_failed, self._last_error = self._num_failed + 1, str(error)
        if not checked.num_open:
            self._held.append(checked)
        if not self._num_failed:
            self._ready += self._held
            self._held.clear()

    def _out_of_reach(self) -> EngineError:
        return EngineError(
            f"the judge gave no reply to {self._num_failed} questions one after the other: "
            f"{self._last_error}"
        )

    def _hand_out(self) -> list[SearchTreeRecord]:
        ready, self._ready = self._ready, []
        return [
            replace(
                one.tree, root=_with_hits(one.tree.root, iter(one.hits)), checked_by=CheckedBy.JUDGE
            )
            for one in ready
        ]

    def _prompt(self, place: NumberedNode, tree: SearchTreeRecord, whole: ImageView) -> JudgePrompt:
        return point_prompt(
            tree.question,
            place.node.text,
            place.points,
            whole=whole,
            window=self._window(place.node, tree, whole),
            max_side_px=self._max_side_px,
            read=self._read,
        )

    def _window(
        self, node: SearchNode, tree: SearchTreeRecord, whole: ImageView
    ) -> ImageView | None:
        """What the thought's call showed; after the last thought of a path nothing was shown."""
        call = parse_turn(node.text).tool_call
        if call is None or node.is_terminal:
            return None
        task = TaskRecord(tree.id, tree.question, tree.answer, (tree.image, *tree.more_images))
        seen = self._tools[call.name].open(task).call(call.arguments, scene=Scene((whole,)))
        return seen.views[0] if seen.views else None


def _with_hits(node: SearchNode, hits: Iterator[bool | None]) -> SearchNode:
    """The same nodes with these verdicts, in reading order."""
    hit = next(hits)
    children = tuple(_with_hits(child, hits) for child in node.children)
    return replace(node, is_hit=hit, children=children)
