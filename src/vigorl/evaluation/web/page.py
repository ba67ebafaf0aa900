"""What checks need of a browser; `browser` has the real thing."""

from __future__ import annotations

from typing import Any, Protocol

from vigorl.core.errors import VigorlError


class PageError(VigorlError):
    """A page that does not load, or that cannot be looked at or asked."""


class Tab(Protocol):
    """One page."""

    @property
    def url(self) -> str: ...

    def content(self) -> str:
        """Its HTML as it is now.

        Raises:
            PageError: It cannot be read.
        """
        ...

    def evaluate(self, script: str, argument: Any = None) -> Any:
        """The JSON value of a script, or of a function called with the argument.

        Raises:
            PageError: The script fails there.
        """
        ...


class Episode(Protocol):
    """The tabs of an episode at its end."""

    @property
    def front(self) -> Tab:
        """The tab that was used last."""
        ...

    def beside(self, url: str) -> Tab:
        """Another page with the same cookies, in a tab that takes the place of the last such one.

        Raises:
            PageError: It does not load.
        """
        ...

    def fetch(self, url: str) -> bytes:
        """A file, asked for with the same cookies.

        Raises:
            PageError: It is not there.
        """
        ...
