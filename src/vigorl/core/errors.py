"""One tree of errors; each says where the fault is and what to do about it.

VigorlError
+-- DataError       a file, record, or picture that cannot be used (also a ValueError)
+-- ConfigError     a setting that is wrong, or has no effect (also a ValueError)
+-- EngineError     the generation engine failed (also a RuntimeError)
|   +-- RequestError    it refused one request, and works on the others
|       +-- RefusalError    as models refuse: what was asked, not how
+-- AlignmentError  engine and trainer disagree about a rollout (also a RuntimeError)
"""

from __future__ import annotations


class VigorlError(Exception):
    """Base of every error that vigorl raises on purpose."""


class DataError(VigorlError, ValueError):
    """A file, record or picture that cannot be used; names the file and, if there is one, the line.

    Args:
        message: What is wrong and what to do.
        path: The file at fault.
        line: 1-based line in `path`.
    """

    def __init__(self, message: str, *, path: object = None, line: int | None = None) -> None:
        self.path, self.line, self.message = path, line, message
        where = "" if path is None else f"{path}:{line}: " if line is not None else f"{path}: "
        super().__init__(where + message)


class ConfigError(VigorlError, ValueError):
    """A setting that is wrong or has no effect; the message names the key."""


class EngineError(VigorlError, RuntimeError):
    """The generation engine failed; rollouts in flight are lost, the run stops."""


class RequestError(EngineError):
    """The engine refused one request; the others are in flight as before.

    Args:
        message: Whose request, and in what words it was refused.
        request_id: The request's.
    """

    def __init__(self, message: str, *, request_id: str) -> None:
        super().__init__(message)
        self.request_id = request_id


class RefusalError(RequestError):
    """The model would not answer, or sent something else than text."""


class NoScoreError(VigorlError, RuntimeError):
    """A reward cannot say what a rollout is worth, because whoever was asked did not answer; the
    rollout is left out of its group's statistics and is not learned from.
    """


class AlignmentError(VigorlError, RuntimeError):
    """Engine and trainer disagree about a rollout (ids, image tokens, or logprobs)."""
