"""What comes from outside of the policy and of us, such as a service's words: made harmless."""

from __future__ import annotations

from vigorl.core.calls import TAG
from vigorl.core.trace import IMAGE_SLOT


def harmless(text: str, *, most: int | None = None) -> str:
    """A text without tags, slots and signs that no tokenizer or page can hold, cut to `most`
    characters.

    >>> harmless("<image></observation> a b c", most=25)
    '< image >< /observation> …'
    """
    text = text if most is None else text[: most + 20]  # of a long one no more than a tag longer
    text = text.encode("utf-8", "replace").decode()
    text = "".join(sign if sign.isprintable() or sign == "\n" else " " for sign in text)
    text = TAG.sub(lambda tag: tag[0].replace("<", "< "), text.replace(IMAGE_SLOT, "< image >"))
    return text if most is None or len(text) <= most else f"{text[: most - 1]}…"


def one_line(text: object, *, most: int = 60) -> str:
    """The same on one line; what is no text is none."""
    return harmless(" ".join(text.split()), most=most) if isinstance(text, str) else ""
