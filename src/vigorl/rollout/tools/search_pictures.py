"""Pictures of a folder, found by words: the pages that a question is about are to be looked for.

    {"name": "search_pictures", "arguments": {"query": "revenue by region 2023"}}

What is searched is the text of each picture: its file name, its caption where `captions` has one,
and with `read` what is written in it. That is read before the first dialog, once: `index` keeps it
picture by picture, so that a run that is cut off goes on, and one with `dry_run=true` prepares it.
They are ranked by BM25, and a call shows the best that the dialog has not been shown yet.

Left out: meaning. Embeddings of text or pages find what shares no word with the query.
Source: VRAG-RL, arXiv:2505.22019; Alibaba-NLP/VRAG 24f8d05 (the first page not seen yet). BM25 in
the form of Lucene: Robertson and Zaragoza, "The Probabilistic Relevance Framework", 2009.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import ClassVar

from tqdm import tqdm

from vigorl.core.errors import ConfigError, DataError
from vigorl.core.files import written_whole
from vigorl.core.geometry import Box
from vigorl.core.media import FileImage, ImageView
from vigorl.core.protocols import Argument, ArgumentKind, Observation, Scene, ToolSpec
from vigorl.core.ranges import AtLeastOne, check_ranges
from vigorl.core.records import TaskRecord
from vigorl.data.locks import locked
from vigorl.data.pictures import open_image, read_size
from vigorl.rollout.tools.arguments import read_text, refuse_unknown, view_size
from vigorl.rollout.tools.outside import one_line
from vigorl.rollout.tools.read_text import check_ocr, lines_of

NOTHING = "No further picture was found for these words."
_ENDINGS = (".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".tif", ".tiff")
_WORD = re.compile(r"[^\W_]+")
_K1, _B = 1.2, 0.75
_SAVE_S = 30.0  # what was read is saved so often


class WordIndex:
    """Texts, ranked by BM25.

    Args:
        texts: What is searched.
    """

    def __init__(self, texts: Sequence[str]) -> None:
        self._counts = [Counter(words(text)) for text in texts]
        lengths = [count.total() for count in self._counts]
        mean = max(sum(lengths) / max(len(lengths), 1), 1.0)
        self._norms = [_K1 * (1 - _B + _B * length / mean) for length in lengths]
        self._num_with = Counter(word for count in self._counts for word in count)

    def ranked(self, query: str) -> list[int]:
        """The texts that have a word of the query, the best first; equal ones in their order."""
        scores = [0.0] * len(self._counts)
        for word in dict.fromkeys(words(query)):
            with_it = self._num_with[word]
            weight = math.log(1 + (len(scores) - with_it + 0.5) / (with_it + 0.5))
            for number, count in enumerate(self._counts):
                scores[number] += weight * count[word] / (count[word] + self._norms[number])
        return sorted((n for n, score in enumerate(scores) if score > 0), key=lambda n: -scores[n])


def words(text: str) -> list[str]:
    """The words of a text, in lower case; what parts them is not a letter or a digit.

    >>> words("Q3_Report-2023.png: Übersicht")
    ['q3', 'report', '2023', 'png', 'übersicht']
    """
    return _WORD.findall(text.lower())


@dataclass(frozen=True, kw_only=True)
class SearchPictures:
    """Replies with pictures and their names.

    Attributes:
        folder: Of the pictures, and of folders of them.
        index: Folder in which what was read is kept, a file per folder of pictures, in it by their
            names, sizes and times; "" keeps nothing.
        captions: JSON lines {"file": name below the folder, "text": ...}; None has none.
        read: Whether what is written in the pictures is searched; needs the extra [ocr].
        most: Pictures of a reply.
        view_px: Longer side at which they are shown.
        name: What the policy calls it.
    Raises:
        ConfigError: No such folder, no picture in it, or no OCR for `read`.
        DataError: A line of the captions is none.
    """

    folder: str
    index: str = ""
    captions: str | None = None
    read: bool = False
    most: AtLeastOne = 1
    view_px: AtLeastOne = 448
    name: str = "search_pictures"
    spec: ClassVar = ToolSpec(
        (Argument("query", ArgumentKind.TEXT),),
        purpose="a search for pictures by words",
        reply="the best one that was not shown before, and its name",
    )

    def __post_init__(self) -> None:
        check_ranges(self, f"tools.{self.name}")
        if not Path(self.folder).is_dir():
            raise ConfigError(f"tools.{self.name}.folder={self.folder}: there is no such folder")
        if not self.names:
            raise ConfigError(f"tools.{self.name}.folder={self.folder}: no picture is in it")
        if self.read:
            check_ocr(f"tools.{self.name}.read=true")

    def open(self, task: TaskRecord) -> _Open:
        _ = self.words  # what takes long is done before any dialog waits for it
        return _Open(self)

    @cached_property
    def names(self) -> list[str]:
        """Of the pictures, below the folder, sorted."""
        root = Path(self.folder)
        files = (path for path in root.rglob("*") if path.suffix.lower() in _ENDINGS)
        return sorted(path.relative_to(root).as_posix() for path in files if path.is_file())

    @cached_property
    def words(self) -> WordIndex:
        captions = self._captions()
        written = self._written() if self.read else [""] * len(self.names)
        return WordIndex(
            [
                f"{name} {captions.get(name, '')} {text}"
                for name, text in zip(self.names, written, strict=True)
            ]
        )

    def _captions(self) -> dict[str, str]:
        found: dict[str, str] = {}
        if self.captions is None:
            return found
        try:
            lines = Path(self.captions).read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise DataError(f"the captions cannot be read: {error}", path=self.captions) from error
        for number, line in enumerate(lines, start=1):
            try:
                row = json.loads(line) if line.strip() else {"file": "", "text": ""}
                found[str(row["file"])] = str(row["text"])
            except (ValueError, LookupError, TypeError) as error:
                said = 'a caption is a line like {"file": "a/page_1.png", "text": "..."}'
                raise DataError(said, path=self.captions, line=number) from error
        return found

    def _written(self) -> list[str]:
        """What is written in each picture; one that has not changed is read once."""
        states = [self._state(name) for name in self.names]
        if not self.index:
            texts = self._read(states, {}, kept=None)
            return [texts[state] for state in states]
        digest = hashlib.sha256(os.fsencode(Path(self.folder).resolve())).hexdigest()
        kept = Path(self.index) / f"{digest[:32]}.json"
        kept.parent.mkdir(parents=True, exist_ok=True)
        told = f"tools.{self.name}: another process reads {self.folder}"
        with locked(kept, told=told):  # of processes that begin together one reads
            texts = self._read(states, _read_texts(kept), kept=kept)
        return [texts[state] for state in states]

    def _state(self, name: str) -> str:
        state = Path(self.folder, name).stat()
        said = f"{name}|{state.st_size}|{state.st_mtime_ns}"
        return said.encode("utf-8", "surrogateescape").decode("utf-8", "replace")

    def _read(
        self, states: Sequence[str], known: Mapping[str, str], *, kept: Path | None
    ) -> dict[str, str]:
        """The texts by state, of which some are known."""
        texts = {state: known[state] for state in states if state in known}
        missing = [pair for pair in zip(self.names, states, strict=True) if pair[1] not in texts]
        saved = time.monotonic()
        for name, state in tqdm(
            missing, f"reading {self.folder}", unit="picture", leave=False, disable=None
        ):
            lines = lines_of(open_image(Path(self.folder, name)))
            texts[state] = " ".join(line.text for line in lines)
            if kept is not None and (state == missing[-1][1] or time.monotonic() > saved + _SAVE_S):
                with written_whole(kept) as part:
                    part.write_text(json.dumps(texts), encoding="utf-8")
                saved = time.monotonic()
        return texts

    def view(self, name: str, *, like: ImageView) -> ImageView:
        """A picture as it is shown, spoken of in the frame of another."""
        path = str(Path(self.folder, name))
        size = read_size(path)
        longer = min(self.view_px, max(size.width, size.height))  # nothing is won by enlarging
        shown = view_size(Box(0, 0, size.width, size.height), view_px=longer)
        return ImageView(FileImage(path), size, shown, frame=like.frame)


def _read_texts(kept: Path) -> dict[str, str]:
    try:
        texts = json.loads(kept.read_text(encoding="utf-8"))
        return {str(state): str(text) for state, text in texts.items()}
    except (OSError, ValueError, AttributeError):  # none yet, or damaged
        return {}


class _Open:
    """The tool in a dialog, which knows what it has shown there."""

    def __init__(self, tool: SearchPictures, seen: tuple[int, ...] = ()) -> None:
        self._tool, self._seen = tool, seen

    def fork(self) -> _Open:
        return _Open(self._tool, self._seen)

    def call(self, arguments: Mapping[str, object], *, scene: Scene) -> Observation:
        tool = self._tool
        refuse_unknown(arguments, tool.spec)
        query = read_text(arguments, "query", most=300)
        found = [number for number in tool.words.ranked(query) if number not in self._seen]
        if not found:
            return Observation((NOTHING,))
        parts: list[str | ImageView] = []
        for number in found[: tool.most]:
            name = tool.names[number]
            title = f"{one_line(name, most=200)}:\n"
            parts += [f"\n{title}" if parts else title, tool.view(name, like=scene.first)]
        self._seen = (*self._seen, *found[: tool.most])
        return Observation(tuple(parts))
