"""A page as its tags, ids, addresses and words; fails on a tag without its partner."""

from __future__ import annotations

from collections import Counter
from html.parser import HTMLParser

_VOID = {"meta", "img", "br", "input"}


class Outline(HTMLParser):
    """Start tags with their attributes, and all text outside of style sheets."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self._words: list[str] = []
        self._open: list[str] = []
        self.feed(page)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in _VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self._open[-1:] != ["style"]:
            self._words.append(data)

    @property
    def tags(self) -> Counter[str]:
        return Counter(tag for tag, _ in self.elements)

    @property
    def text(self) -> str:
        """All words, single spaces between them."""
        return " ".join("".join(self._words).split())

    def values(self, name: str) -> list[str]:
        """An attribute's values wherever it has one."""
        return [value for _, attrs in self.elements if (value := attrs.get(name))]

    def of_class(self, css: str) -> list[dict[str, str | None]]:
        """Attributes of the elements of a class."""
        return [attrs for _, attrs in self.elements if css in (attrs.get("class") or "").split()]

    def assert_stands_alone(self) -> None:
        """No script, nothing loaded from elsewhere, links only to what is on the page."""
        assert not {"script", "link", "iframe", "object"} & set(self.tags)
        ids = self.values("id")
        assert len(set(ids)) == len(ids)
        for address in self.values("src") + self.values("href"):
            assert address.startswith("data:image/") or address[1:] in ids, address
