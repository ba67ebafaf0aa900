"""What a way of writing tool calls promises; `data.markups` has some.

Turns are parsed, rewarded, kept and shown in ONE form, that of `core.trace`. A policy may write
another: XML, tags named by their tool, a block of code. A dialect turns its texts into the
canonical one when they are decoded, and back when a trace, an opened turn or the prompt's example
is encoded. Token ids are those that were sampled; nothing is ever encoded again.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from vigorl.core.protocols import Tool


class Dialect(Protocol):
    """How calls of certain tools are written. Thoughts and answers are the same in all dialects.

    `write(read(text)) == text` for a turn whose calls are laid out as `write` does; other spacing
    is read too.
    """

    @property
    def call_pattern(self) -> re.Pattern[str]:
        """A call in the policy's own text, whole or cut off by the text's end."""
        ...

    def read(self, text: str) -> str:
        """A policy's text in canonical form: several calls are a list in one block; one that cannot
        be read stands in its block as it is; without a call, the text itself. Never raises.
        """
        ...

    def write(self, text: str) -> str:
        """The inverse, also of a turn that ends in the tag that opens a call. Never raises."""
        ...


@runtime_checkable
class Markup(Protocol):
    """A way of writing tool calls, as it is chosen."""

    def dialect(self, tools: Sequence[Tool]) -> Dialect:
        """How it writes calls of these tools.

        Raises:
            ConfigError: It cannot say the name of one of them.
        """
        ...
