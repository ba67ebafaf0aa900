"""One HTML page of a data set: what it holds, what is wrong with it, and questions as the policy
will see them: the picture at its size, and the words of its prompt.

    page = render_inspection_page(found, tasks, prompt=prompt, images=store, title="my.csv")
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from vigorl.core.geometry import Box
from vigorl.core.media import ImageView
from vigorl.core.records import TaskRecord
from vigorl.core.trace import IMAGE_SLOT
from vigorl.data.images import ImageStore
from vigorl.data.inspection import Inspection
from vigorl.data.prompts import Prompt
from vigorl.pages.html import Album, Picture, render

_PICTURE = "▣"  # where a picture stands in the words


@dataclass(frozen=True, slots=True)
class _Sample:
    """A question; `seen` are the pictures at the policy's own size, in pixels and tokens."""

    split: str
    task: TaskRecord
    picture: Picture | None
    original: str
    targets: tuple[Box, ...]
    seen: tuple[tuple[str, str], ...]
    words: str


def render_inspection_page(
    found: Inspection,
    samples: Sequence[tuple[str, TaskRecord]],
    *,
    prompt: Prompt,
    images: ImageStore,
    title: str,
    columns: Sequence[str] = (),
) -> str:
    """The page as one string of HTML; about 0.1 MB for each question.

    Args:
        found: About all questions.
        samples: The questions to show, each with its split.
        prompt: What the policy is told.
        images: Sizes pictures as the policy sees them.
        title: Names the data.
        columns: What was read from where, a line per table.
    Raises:
        DataError: A picture cannot be read.
    """
    album = Album(images)
    shown = [_sample(split, task, prompt, album) for split, task in samples]
    return render(
        "inspection.html.jinja",
        title=title,
        found=found,
        columns=columns,
        system=prompt.system,
        most=max([count for _, count in found.answers], default=1),
        samples=shown,
    )


def _sample(split: str, task: TaskRecord, prompt: Prompt, album: Album) -> _Sample:
    views = [album.images.whole(path, source=task.source) for path in task.images]
    user = prompt.messages(task)[-1]
    first = views[0] if views else None
    return _Sample(
        split=split,
        task=task,
        picture=album.whole(first) if first else None,
        original=f"{first.original.width}×{first.original.height}" if first else "",
        targets=task.target_boxes,
        seen=tuple((album.shown(view), _size(view, album.images)) for view in views),
        words=user.text.replace(IMAGE_SLOT, _PICTURE) + user.plain,
    )


def _size(view: ImageView, images: ImageStore) -> str:
    return f"{view.size.width}×{view.size.height} px, {images.num_tokens(view)} tokens"
