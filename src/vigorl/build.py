"""From a composed config to the objects of a run. The doors call it; it holds no logic of its own
beyond who needs what.

    codec, images            one per run, shared by everything that reads text or pictures
    environment              the dialog that rollouts, traces and evaluation share
    policy, module           what learns
    engine                   what samples, with weights of its own
"""

from __future__ import annotations

import logging
import os
import re
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from transformers.utils.logging import disable_progress_bar

from vigorl.core.errors import ConfigError
from vigorl.core.protocols import Engine
from vigorl.data.encoding import ChatCodec
from vigorl.data.images import ImageStore
from vigorl.processes import from_first_process
from vigorl.rollout.environment import Environment, RolloutLimits

CONFIGS = str(Path(__file__).resolve().parents[2] / "configs")
ASSETS = Path(__file__).resolve().parent / "assets"


def prepare_process() -> None:
    """What each door does before it reads its config: teach the YAMLs ${vigorl_asset:...} and
    ${vigorl_accumulate:...}, and quieten libraries that print what nobody asked for.
    """
    OmegaConf.register_new_resolver("vigorl_asset", lambda name: str(ASSETS / name), replace=True)
    OmegaConf.register_new_resolver("vigorl_accumulate", _accumulate, replace=True)
    OmegaConf.register_new_resolver("vigorl_artifacts", _artifacts, replace=True)
    if not torch.cuda.is_available():
        os.environ.setdefault("DS_ACCELERATOR", "cpu")  # else DeepSpeed warns that it found no GPU
    disable_progress_bar()  # one bar per weight file says nothing here
    for noisy in ("alembic", "lightning.pytorch", "lightning.fabric"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    for expected in (
        # SFT has validation batches, GRPO validates by rollouts
        "You passed in a `val_dataloader`",
        "`isinstance(treespec, LeafSpec)` is deprecated",
        "The 'train_dataloader' does not have many workers",
        "The 'val_dataloader' does not have many workers",
    ):
        warnings.filterwarnings("ignore", message=re.escape(expected))


def _artifacts(outputs: str) -> str | None:
    """Where MLflow keeps pages and models of the local store; None leaves it to a server."""
    if os.environ.get("MLFLOW_TRACKING_URI"):
        return None
    return (Path(outputs).resolve() / "mlartifacts").as_uri()


def _accumulate(sequences: int, micro_batch: int, devices: Any, num_nodes: int) -> int:
    """Micro-batches per update on each rank; the data module checks it against the ranks that
    really run.
    """
    if not isinstance(devices, int) or devices < 1:
        raise ConfigError(f"trainer.devices must be a number of devices, got {devices!r}")
    return max(sequences // (micro_batch * devices * num_nodes), 1)


def assemble(node: DictConfig, *args: Any, **objects: Any) -> Any:
    """Instantiate a node with finished objects, which `instantiate` itself would turn back into
    settings.
    """
    return instantiate(node, _partial_=True)(*args, **objects)


@dataclass(frozen=True, slots=True)
class Parts:
    """What every door needs."""

    model_folder: str
    codec: ChatCodec
    images: ImageStore
    environment: Environment
    eval_environment: Environment


def build_parts(cfg: DictConfig) -> Parts:
    """The model folder (made first where the config says so), and the dialogs on its tokenizer and
    processor.
    """
    folder = cfg.model.path
    if cfg.model.get("maker"):
        make = lambda: str(instantiate(cfg.model.maker))  # noqa: E731
        folder = from_first_process(cfg, f"{cfg.name} model", make)
    codec = ChatCodec.from_pretrained(folder)
    images = ImageStore.from_pretrained(folder, **cfg.pixels)
    shared = {
        "prompt": instantiate(cfg.task.prompt),
        "codec": codec,
        "images": images,
        "tools": [instantiate(tool) for tool in cfg.task.tools],
        "limits": RolloutLimits(**cfg.task.limits),
    }
    sampled = Environment(**shared, temperature=cfg.task.temperature, top_p=cfg.task.top_p)
    judged = Environment(**shared, temperature=cfg.task.eval_temperature)
    return Parts(folder, codec, images, sampled, judged)


def build_engine(cfg: DictConfig, parts: Parts) -> Engine:
    return assemble(
        cfg.engine,
        folder=parts.model_folder,
        codec=parts.codec,
        images=parts.images,
        dtype=cfg.model.dtype,
        attn_implementation=cfg.model.attn_implementation,
    )


def check_settings(cfg: DictConfig) -> None:
    """Refuse a config with a value still missing, naming the key."""
    missing = OmegaConf.missing_keys(cfg)
    if missing:
        raise ConfigError(f"set {', '.join(sorted(missing))}: no default can know it")
    if cfg.num_threads:
        torch.set_num_threads(cfg.num_threads)
