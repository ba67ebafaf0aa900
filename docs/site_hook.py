"""What the site adds to the pages that are written by hand: the settings, from the YAMLs with their
comments, and links into the sources.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

CONFIGS = Path(__file__).parents[1] / "configs"
SOURCES = "https://github.com/vigorl/vigorl/blob/main/"
_OUTSIDE = re.compile(r"\]\(\.\./((?:src|examples|configs|benchmarks|notebooks|tests)/[^)]+)\)")


def on_files(files: Files, *, config: Any) -> Files:
    """Add settings.md, which no folder holds."""
    files.append(File.generated(config, "settings.md", content=settings_page(CONFIGS)))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """A link to a file outside of docs goes to where the sources are."""
    return _OUTSIDE.sub(rf"]({SOURCES}\1)", markdown)


def settings_page(configs: Path) -> str:
    """Each door's file, then each group of choices: every YAML whole, with its comments."""
    parts = [
        "# Settings",
        "Every file of `configs/`, with its comments. A group's choice is taken with `group=choice` "
        "on the command line, a key of it with `group.key=value`. What a value may be is refused "
        "or taken before anything is loaded; the message says the range.",
    ]
    parts += [_section(path, configs, level=2) for path in sorted(configs.glob("*.yaml"))]
    for folder in sorted(path for path in configs.rglob("*") if path.is_dir()):
        files = sorted(folder.glob("*.yaml"))
        if files:
            parts.append(f"## {folder.relative_to(configs)}")
            parts += [_section(path, configs, level=3) for path in files]
    return "\n\n".join(parts) + "\n"


def _section(path: Path, configs: Path, *, level: int) -> str:
    title = path.relative_to(configs).with_suffix("")
    return f"{'#' * level} {title}\n\n```yaml\n{path.read_text().rstrip()}\n```"
