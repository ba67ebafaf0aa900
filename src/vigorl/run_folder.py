"""What a run's folder says of itself: run.json and config.yaml, read with distrust."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, cast

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from pydantic import BaseModel, ConfigDict, ValidationError
from yaml import YAMLError

from vigorl.core.errors import ConfigError
from vigorl.core.files import written_whole
from vigorl.core.run_log import NAME
from vigorl.mlflow_store import without_passwords
from vigorl.own_objects import as_texts

RUN_FORMAT = 2  # of run.json and the checkpoints beside it
_BEGIN_ANEW = "begin a new run; model.path=RUN/model starts it from this one's model"
_WITHOUT_SETTINGS = "without that file the run goes on with what its run.json says, so remove it"


class Identity(BaseModel):
    """A run.json; `objects` are the texts of those that a program handed over, by their keys."""

    model_config = ConfigDict(strict=True, frozen=True)
    format: Literal[2]
    mlflow_run_id: str | None
    overrides: list[str]
    objects: dict[str, str] = {}


def identity_files(folder: Path) -> list[Path]:
    """The run.json of the run in a folder, or of its stages.

    Raises:
        ConfigError: There is none.
    """
    if (folder / "run.json").is_file():
        return [folder / "run.json"]
    if not (found := sorted(folder.glob("*/run.json"))):
        raise ConfigError(f"resume={str(folder)!r} is not a run's folder: it has no run.json")
    return found


def write_identity(path: Path, identity: Identity) -> None:
    with written_whole(path) as part:  # another process of a resumed run may be reading it
        part.write_text(identity.model_dump_json())


def read_identity(path: Path) -> Identity:
    """What a run.json says, its types checked."""
    try:
        found = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{path} is cut or damaged ({error}): {_BEGIN_ANEW}") from error
    if isinstance(found, dict) and "overrides" not in found and "mlflow_run_id" in found:
        raise ConfigError(
            f"{path}: a run of vigorl 0.1, whose settings and checkpoints are others; begin anew "
            f"from its model, model.path={path.parent / 'model'}"
        )
    try:
        return Identity.model_validate(found)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "all of it"
        raise ConfigError(f"{path}: {where}: {first['msg']}; {_BEGIN_ANEW}") from error


def read_settings(path: Path) -> dict[str, Any]:
    """The settings that a run's folder keeps, as they stand there: nothing in them is resolved.

    Raises:
        ConfigError: The file is empty, cut, or holds something else.
    """
    try:
        found = OmegaConf.to_container(OmegaConf.load(path), resolve=False)
    except (OSError, ValueError, YAMLError, OmegaConfBaseException, RecursionError) as error:
        first = (str(error) or type(error).__name__).splitlines()[0]
        raise ConfigError(f"{path} cannot be read ({first}): {_WITHOUT_SETTINGS}") from error
    if not isinstance(found, dict) or not {"paths", "model"} <= found.keys():
        raise ConfigError(f"{path} is empty, cut, or not of a run: {_WITHOUT_SETTINGS}")
    return cast(dict[str, Any], found)


def remove_unused(folder: Path) -> None:
    """Remove a run's folder, and one above it that is empty then, if there is nothing but what the
    run says of itself.
    """
    own = [folder / "run.json", folder / "config.yaml", folder / NAME]
    with contextlib.suppress(OSError):  # another process is as far, or another run stands there
        if any(one not in own for one in folder.iterdir()):
            return
        for one in own:
            one.unlink(missing_ok=True)
        folder.rmdir()
        folder.parent.rmdir()


def check_data(path: Path, prints: Mapping[str, str], *, may_differ: bool) -> None:
    """Compare the records' fingerprints with those that a run began with, or note them.

    Args:
        path: Where they are noted.
        prints: Today's, by the records' name.
        may_differ: The command line has changed the data; today's are noted instead.
    Raises:
        ConfigError: Records or pictures are others than at the start; says which.
    """
    try:
        before = json.loads(path.read_bytes()) if path.is_file() and not may_differ else None
    except ValueError:
        before = None  # it is only a note
    if isinstance(before, dict) and before != dict(prints):
        names = sorted(k for k in {**before, **prints} if before.get(k) != prints.get(k))
        raise ConfigError(
            f"{', '.join(names)}: records or pictures are others than those the run began with: "
            f"bring them back, or delete {path} to go on with today's"
        )
    if before is None:
        with written_whole(path) as part:
            part.write_text(json.dumps(dict(prints)))


def write_settings(path: Path, cfg: DictConfig) -> None:
    with written_whole(path) as part:
        plain = OmegaConf.create(as_texts(OmegaConf.to_container(cfg, resolve=True)))
        part.write_text(without_passwords(OmegaConf.to_yaml(plain)))
