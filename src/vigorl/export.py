"""Export: `python -m vigorl.export run=RUN folder=my_model`, or with `push_to=owner/name` to the
Hugging Face hub, where `model.path=hub:owner/name` finds it.

A finished run's model, or with `checkpoint=RUN/checkpoints/phase-00120.ckpt` that of a phase
before, becomes an ordinary Hugging Face folder (safetensors, tokenizer, image processor, chat
template) with a card, README.md, made from the run: command, data, figures with their intervals,
limits. `evaluations=[...]` adds what `vigorl.evaluate` has found of it.
"""

from __future__ import annotations

from vigorl.door import door, refuse_early

refuse_early(__name__, "export")  # before the imports below, which take seconds

import logging
import shutil
import tempfile
from pathlib import Path

import torch
from omegaconf import DictConfig

from vigorl.build import prepare_process
from vigorl.callbacks.checkpoint import list_checkpoints
from vigorl.core.errors import ConfigError, VigorlError
from vigorl.families.lookup import import_plugins
from vigorl.hub import push, refuse_push
from vigorl.model_card import phase_of, write_card
from vigorl.model_sources import export
from vigorl.models.policy import Policy
from vigorl.models.pretrained import check_folder

prepare_process()

_LOG = logging.getLogger(__name__)


def export_model(cfg: DictConfig) -> list[str]:
    """Write the folder, push it, or both.

    Returns:
        Where it is: the folder, the commit's address.
    Raises:
        ConfigError: It is not said which model or where to, there is none, or the hub refuses.
        DataError: A file of the run is damaged.
    """
    if (cfg.run is None) == (cfg.checkpoint is None):
        raise ConfigError(
            "say which model: run=RUN of a finished training, or checkpoint=RUN/checkpoints/..."
        )
    if cfg.folder is None and cfg.push_to is None:
        raise ConfigError("say where to: folder=my_model, push_to=owner/name, or both")
    if cfg.push_to is not None:
        refuse_push(cfg.push_to)
    with tempfile.TemporaryDirectory(prefix="vigorl-export-") as scratch:
        folder = Path(cfg.folder or Path(scratch) / "model")
        run, phases = _write(cfg, folder)
        try:
            write_card(
                folder,
                run=run,
                phases=phases,
                checkpoint=Path(cfg.checkpoint) if cfg.checkpoint is not None else None,
                licence=cfg.licence,
                evaluations=cfg.evaluations,
                repo=cfg.push_to,
            )
        except VigorlError as error:  # a run of which little is left still has weights
            if cfg.push_to is not None or cfg.evaluations:
                raise
            _LOG.warning("%s has no card: %s", folder, error)
        done = [str(folder)] if cfg.folder else []
        if cfg.push_to is not None:
            done.append(push(folder, cfg.push_to, private=cfg.private, message="Model of vigorl"))
    return done


def _write(cfg: DictConfig, folder: Path) -> tuple[Path, int | None]:
    """The weights; returns the run that made them, and of a checkpoint after which phase."""
    if cfg.checkpoint is not None:
        export(cfg.checkpoint, str(folder), dtype=cfg.dtype, plugins=cfg.plugins)
        path = Path(cfg.checkpoint).resolve()
        return path.parents[1], phase_of(path)
    run = finished_run(Path(cfg.run))
    model = run / "model"
    check_folder(model)
    if cfg.dtype is not None:
        policy = Policy.from_pretrained(model, dtype=cfg.dtype)
        policy.save_pretrained(folder, dtype=getattr(torch, cfg.dtype))
    elif folder.resolve() != model.resolve():
        for old in folder.glob("*.safetensors*"):  # of a model with more shards
            old.unlink()
        shutil.copytree(model, folder, dirs_exist_ok=True)
    return run, None


def finished_run(folder: Path) -> Path:
    """The folder of a training that has left a model, of one in stages that of the last.

    Raises:
        ConfigError: It is none, or it has not come to its end.
    """
    runs = [one for one in (folder, *sorted(folder.glob("*"))) if (one / "run.json").is_file()]
    if not runs:
        raise ConfigError(f"run={folder} is no run's folder: it has no run.json")
    models = [one / "model" / "config.json" for one in runs]
    if there := [one for one in models if one.is_file()]:
        return max(there, key=lambda one: one.stat().st_mtime).parents[1]
    found = [path for one in runs for path in list_checkpoints(one / "checkpoints")]
    other = f", or export checkpoint={found[-1]}" if found else ""
    raise ConfigError(
        f"run={folder} has no model yet: python -m vigorl.train resume={folder} goes on to its "
        f"end{other}"
    )


@door("export")
def main(cfg: DictConfig) -> None:
    import_plugins(cfg.plugins)
    for place in export_model(cfg):
        print(f"wrote {place}")


if __name__ == "__main__":
    main()
