"""RUN/stages.json: the stages of a run, what each does, and which are done; for the page of all of
them, and for whoever goes on.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from vigorl.core.errors import DataError
from vigorl.core.files import written_whole

NAME = "stages.json"
FORMAT = 1


@dataclass(frozen=True, slots=True)
class StageNote:
    """A stage in words.

    Attributes:
        name: Its folder in the run's.
        does: Such as "GRPO: 4 phases of 32 prompts x 8 rollouts".
        start: The model that it starts from: a stage's name, or a folder.
        data: What it learns from.
        learns: The parts of the model that do, where not all of the language model's.
    """

    name: str
    does: str
    start: str
    data: str
    learns: str = ""


@dataclass(frozen=True, slots=True)
class StagesFile:
    """The file.

    Attributes:
        title: Names the run.
        mlflow_run_id: Of the run of the whole, whose children are the stages; "" without.
        stages: In order.
        done: Names of those that have ended, whatever a later one does.
    """

    title: str
    mlflow_run_id: str
    stages: tuple[StageNote, ...]
    done: tuple[str, ...] = ()

    def write(self, folder: Path) -> None:
        with written_whole(folder / NAME) as part:
            part.write_text(json.dumps({"format": FORMAT, **asdict(self)}, indent=1))


def read_stages(folder: Path) -> StagesFile | None:
    """What a run's folder says of its stages; None where it says nothing, as one without stages.

    Raises:
        DataError: The file is cut or damaged.
    """
    path = folder / NAME
    if not path.is_file():
        return None
    try:
        plain = json.loads(path.read_bytes())
        if plain.pop("format") != FORMAT:
            raise ValueError(f"not of format {FORMAT}")
        stages = tuple(StageNote(**one) for one in plain.pop("stages"))
        return StagesFile(stages=stages, done=_texts(plain.pop("done")), **plain)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise DataError(
            f"is cut or damaged ({error!r}): remove it, and a resume writes it anew", path=path
        ) from error


def _texts(found: Sequence[object]) -> tuple[str, ...]:
    return tuple(str(one) for one in found)
