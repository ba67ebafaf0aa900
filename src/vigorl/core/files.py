"""Files that are written whole or not at all, also under kill -9.

with written_whole(path) as part:
    part.write_text(text)
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """A place beside `path` to write to, of this thread alone; moved to `path` at the end.

    Whoever reads `path` meanwhile gets the file that was there before. Of several threads or
    processes that write it at once, the last one's stays. After an error nothing is moved and
    nothing is left.

    Args:
        path: The file to write; its folder exists.
    """
    own = f"{os.getpid()}.{threading.get_ident()}"
    part = path.with_name(f"{path.stem}.{own}.part{path.suffix}")  # Pillow goes by suffix
    try:
        yield part
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
