"""A world that is written to disk where it is missing, beside the settings that made it."""

from __future__ import annotations

import json
from abc import abstractmethod
from dataclasses import dataclass
from pathlib import Path

from vigorl.core.errors import ConfigError
from vigorl.core.files import written_whole
from vigorl.data.locks import locked

MAKE_ANEW = "delete that folder, and it is made anew"


@dataclass(frozen=True, kw_only=True)
class WrittenWorld:
    """What made worlds share.

    Attributes:
        root: Where it is written.
    """

    root: str

    def prepare(self) -> None:
        """Write what is missing; a world made with other settings in the same place is an error,
        never overwritten. Runs that begin together wait for the one that draws.

        Raises:
            ConfigError: `root` holds a world of other settings.
        """
        root = Path(self.root)
        if self._is_made(root):
            return
        root.parent.mkdir(parents=True, exist_ok=True)
        with locked(root, told=f"another process makes the world {root}"):
            if not self._is_made(root):
                self._write(root)
                with written_whole(root / "world.json") as part:
                    part.write_text(json.dumps(self._stamp(), indent=1))

    @abstractmethod
    def _stamp(self) -> dict[str, object]:
        """The settings that what is written depends on, as JSON values."""

    @abstractmethod
    def _write(self, root: Path) -> None: ...

    def _is_made(self, root: Path) -> bool:
        if not (root / "world.json").is_file():
            return False
        found, stamp = _read_stamp(root / "world.json"), self._stamp()
        if found != stamp:
            changed = sorted(k for k in stamp | found if stamp.get(k) != found.get(k))
            raise ConfigError(
                f"data.root={self.root} holds a made world with other settings "
                f"({', '.join(changed)}); choose another data.root, or {MAKE_ANEW}"
            )
        return True


def _read_stamp(path: Path) -> dict[str, object]:
    try:
        found = json.loads(path.read_bytes())
    except ValueError as error:
        raise ConfigError(f"{path} is cut or damaged ({error}): {MAKE_ANEW}") from error
    if not isinstance(found, dict):
        raise ConfigError(f"{path} is not of a made world: {MAKE_ANEW}")
    return found
