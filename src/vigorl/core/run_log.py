"""A run's own log, RUN/run.log: what its progress says, what libraries warn of, and the traceback
of the error that ended it, which a terminal gets in one line.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

NAME = "run.log"
RUN_LOG = logging.getLogger("vigorl.run")  # for the file alone: whoever writes here also prints
RUN_LOG.propagate = False
RUN_LOG.setLevel(logging.INFO)
_FORMAT = "%(asctime)s %(levelname)-7s %(message)s"


@contextmanager
def logged_to(folder: Path, *, is_writer: bool = True) -> Iterator[None]:
    """Inside, warnings and `RUN_LOG` go to `folder`/run.log, after what stands there.

    Args:
        folder: Of the run.
        is_writer: Of several processes one writes.
    """
    if not is_writer:
        yield
        return
    handler = logging.FileHandler(folder / NAME, encoding="utf-8", errors="replace", delay=True)
    handler.setFormatter(logging.Formatter(_FORMAT))
    places = (RUN_LOG, logging.getLogger())
    for one in places:
        one.addHandler(handler)
    try:
        yield
    except BaseException as error:
        RUN_LOG.error("ended by %s", type(error).__name__, exc_info=error)
        raise
    finally:
        for one in places:
            one.removeHandler(handler)
        handler.close()
