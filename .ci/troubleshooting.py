"""Writes the tables of docs/troubleshooting.md: every error message that the source can raise, its
changing parts as an ellipsis, by room and file.

    python .ci/troubleshooting.py            # after a message was added or changed
    python .ci/troubleshooting.py --check    # exit code 1 where the document is stale

Read from the syntax trees, so nothing is imported. A place that raises an error of ours without a
word of its own is refused, for nobody could find it.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SOURCE, DOCUMENT = ROOT / "src" / "vigorl", ROOT / "docs" / "troubleshooting.md"
PART = re.compile(r"(<!-- messages: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)
KINDS = (
    "VigorlError", "ConfigError", "DataError", "EngineError", "RequestError", "RefusalError",
    "NoScoreError", "AlignmentError", "ValueError", "fail", "_NoTextError", "_picture_error",
    "RequestRefusedError", "PictureRefusedError",
)  # fmt: skip


def filled(text: str) -> str:
    """The document with every message in the part of its room.

    Raises:
        SystemExit: A room has messages and no part.
    """
    rooms = {path.parent for path in SOURCE.rglob("*.py") if _row(path)}
    top = {one.relative_to(SOURCE).parts[0] if one != SOURCE else "doors" for one in rooms}
    if missing := top - {match[2] for match in PART.finditer(text)}:
        sys.exit(f"{DOCUMENT.name} has no <!-- messages: ... --> for {sorted(missing)}")
    return PART.sub(lambda match: match[1] + _table(match[2]) + match[3], text)


def _table(room: str) -> str:
    paths = SOURCE.glob("*.py") if room == "doors" else (SOURCE / room).rglob("*.py")
    rows = "".join(map(_row, sorted(paths)))
    return f"\n| raised in | it says |\n|---|---|\n{rows}\n"


def _row(path: Path) -> str:
    said = "<br>".join(f"`{one.replace('|', chr(92) + '|')}`" for one in messages(path))
    return f"| {path.relative_to(SOURCE)} | {said} |\n" if said else ""


def messages(path: Path) -> list[str]:
    """Of one file, in its order, each once.

    Raises:
        SystemExit: An error is made without a word of its own.
    """
    tree = ast.parse(path.read_text(encoding="utf-8"))
    functions = {one.name: one for one in ast.walk(tree) if isinstance(one, ast.FunctionDef)}
    around = _enclosing(tree)
    found: dict[str, None] = {}
    for call in ast.walk(tree):
        if not (isinstance(call, ast.Call) and _name(call.func) in KINDS and call.args):
            continue
        own = list(_texts(call.args[0]))
        if not own and call in around:  # put together above, or by a function beside it
            asked = [
                functions[_name(one.func)]
                for place in (call.args[0], around[call])
                for one in ast.walk(place)
                if isinstance(one, ast.Call) and _name(one.func) in functions
            ]
            yields = [one for one in ast.walk(tree) if isinstance(one, ast.Yield)]
            own = [text for place in (around[call], *asked, *yields) for text in _texts(place)]
        if not own and not _is_anothers(call, around.get(call)):
            sys.exit(f"{path}:{call.lineno}: an error without a word of its own")
        found |= dict.fromkeys(own)
    return list(found)


def _is_anothers(call: ast.Call, around: ast.FunctionDef | None) -> bool:
    """Whether it says the words of another error again, or those that it was called with."""
    names = {one.id for one in ast.walk(call) if isinstance(one, ast.Name)}
    return "error" in names or (around is not None and around.name == "fail")


def _enclosing(tree: ast.AST) -> dict[ast.AST, ast.FunctionDef]:
    """The innermost function around each node."""
    around: dict[ast.AST, ast.FunctionDef] = {}
    for one in ast.walk(tree):  # breadth first, so inner functions come last
        if isinstance(one, ast.FunctionDef):
            around |= dict.fromkeys(ast.walk(one), one)
    return around


def _texts(node: ast.AST) -> Iterator[str]:
    """What a person reads of the strings in an expression; two words of their own at least."""
    if isinstance(node, ast.FunctionDef):
        for inner in node.body[1:] if ast.get_docstring(node) else node.body:
            yield from _texts(inner)
        return
    if isinstance(node, ast.JoinedStr):
        parts = [one.value if isinstance(one, ast.Constant) else "…" for one in node.values]
        text = "".join(str(one) for one in parts)
    elif isinstance(node, ast.Constant) and isinstance(node.value, str):
        text = node.value
    else:
        for inner in ast.iter_child_nodes(node):
            yield from _texts(inner)
        return
    text = re.sub(r"(… ?)+…", "…", " ".join(text.split()).replace("`", "'"))
    if re.search(r"[A-Za-z]{2}.* .*[A-Za-z]{2}", text):
        yield text


def _name(node: ast.AST) -> str:
    return (
        node.id
        if isinstance(node, ast.Name)
        else node.attr
        if isinstance(node, ast.Attribute)
        else ""
    )


def main() -> None:
    before = DOCUMENT.read_text(encoding="utf-8")
    text = filled(before)
    if sys.argv[1:] == ["--check"] and text != before:
        sys.exit(f"{DOCUMENT.relative_to(ROOT)} is stale: python .ci/troubleshooting.py")
    DOCUMENT.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
