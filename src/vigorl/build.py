"""From a composed config to the objects of a run. The doors call it; it holds no logic of its own
beyond who needs what.

    codec, images            one per run, shared by everything that reads text or pictures
    environment              the dialog that rollouts, traces and evaluation share
    policy, module           what learns
    engine                   what samples, with weights of its own
"""

from __future__ import annotations

import logging
import math
import os
import re
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import huggingface_hub
import torch
from hydra.errors import InstantiationException
from hydra.utils import get_class, instantiate
from lightning.fabric import Fabric
from lightning.pytorch.strategies import DeepSpeedStrategy
from omegaconf import DictConfig, OmegaConf
from transformers.utils.logging import disable_progress_bar

from vigorl.asking.asker import Asker
from vigorl.asking.shared_engine import SharedEngine
from vigorl.core.errors import ConfigError, VigorlError
from vigorl.core.protocols import Engine
from vigorl.data.encoding import ChatCodec
from vigorl.data.images import ImageStore
from vigorl.families.lookup import import_plugins
from vigorl.model_sources import as_folder
from vigorl.models.lora import LoraSettings
from vigorl.models.pretrained import check_folder, parse_dtype
from vigorl.processes import from_first_process
from vigorl.resolvers import ASSETS as ASSETS
from vigorl.resolvers import CONFIGS as CONFIGS
from vigorl.resolvers import dialect_of, register_resolvers
from vigorl.rollout.environment import Environment
from vigorl.rollout.inference.rule import InferenceRule
from vigorl.rollout.limits import RolloutLimits
from vigorl.settings import check_values, refuse_missing
from vigorl.targets import check_targets
from vigorl.training.algorithms.protocol import Algorithm
from vigorl.training.critic import check_critic
from vigorl.training.overlap import check_correction

# objects that are made at once, from settings alone: they refuse theirs before weights are loaded
_OF_PLAIN_VALUES = (
    "plan", "optimizer", "traces", "data", "reward", "env.prompt", "protocol.judging",
    "protocol.prompt", "search", "budget", "keep",
    "chains.settings", "chains.filters", "chains.picking",
)  # fmt: skip


def prepare_process() -> None:
    """What each door does before it reads its config: teach the YAMLs ${vigorl_...:...}, and
    quieten libraries that print what nobody asked for.
    """
    register_resolvers()
    if not torch.cuda.is_available():
        os.environ.setdefault("DS_ACCELERATOR", "cpu")  # else DeepSpeed warns that it found no GPU
    disable_progress_bar()  # one bar per weight file says nothing here
    saves_weights = Path(huggingface_hub.__file__).parent / "serialization" / "_torch.py"
    for noisy in (
        "alembic", "lightning.pytorch", "lightning.fabric",
        str(saves_weights),  # a logger that is named after its file
    ):  # fmt: skip
        logging.getLogger(noisy).setLevel(logging.WARNING)
    # what it shows with a whole traceback it also raises
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)
    # that it makes an experiment which is not there yet
    logging.getLogger("lightning.pytorch.loggers.mlflow").setLevel(logging.ERROR)
    for expected in (
        # SFT has validation batches, GRPO validates by rollouts
        "You passed in a `val_dataloader`",
        "`isinstance(treespec, LeafSpec)` is deprecated",
        "The 'train_dataloader' does not have many workers",
        "The 'val_dataloader' does not have many workers",
    ):
        warnings.filterwarnings("ignore", message=re.escape(expected))


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


def build_parts(cfg: DictConfig, *, like: Parts | None = None) -> Parts:
    """The model folder (made first where the config says so), and the dialogs on its tokenizer and
    processor.

    Args:
        cfg: The settings.
        like: Of the same model and pixels; its tokenizer and processor are taken.
    """
    folder = like.model_folder if like else _model_folder(cfg)
    codec = like.codec if like else ChatCodec.from_pretrained(folder)
    limits = RolloutLimits(**cfg.env.limits)
    images = like.images if like else ImageStore.from_pretrained(folder, **cfg.pixels)
    tools = [instantiate(tool) for tool in cfg.env.tools]
    dialect = dialect_of(cfg, tools)
    codec = codec.speaking(dialect)
    prompt = OmegaConf.select(cfg, "protocol.prompt") or cfg.env.prompt  # an evaluation's
    written = instantiate(prompt).write(
        tools=tools, frame=images.frame, dialect=dialect, max_calls=limits.max_calls_per_turn
    )
    shared = {
        "prompt": written,
        "codec": codec,
        "images": images,
        "tools": tools,
        "limits": limits,
        "step_reply": cfg.env.step_reply,
    }
    sampled = Environment(**shared, temperature=cfg.env.temperature, top_p=cfg.env.top_p)
    judged = Environment(**shared, temperature=cfg.env.eval_temperature)
    return Parts(folder, codec, images, sampled, judged)


def _model_folder(cfg: DictConfig) -> str:
    def make() -> str:
        if maker := maker_of(cfg):
            return str(instantiate(maker))
        into = Path(cfg.paths.run) / "start_model"
        return as_folder(cfg.model.path, into=into, dtype=cfg.model.dtype, plugins=cfg.plugins)

    folder = from_first_process(cfg, f"{cfg.name} model", make)
    check_folder(Path(folder))  # engines read it too
    return folder


def maker_of(cfg: DictConfig) -> DictConfig | None:
    """What makes the folder of `model.path`; None where nothing does, or it makes another's."""
    maker = cfg.model.get("maker")
    return maker if maker and maker.get("folder", cfg.model.path) == cfg.model.path else None


def build_engine(cfg: DictConfig, parts: Parts) -> Engine:
    """An engine with `device: auto` in its YAML is told this process's device; one with
    `adapter_rank: auto`, the rank of the policy's adapters.
    """
    known: dict[str, Any] = {}
    if cfg.engine.get("device") == "auto":
        known["device"] = own_device(cfg)
    if cfg.engine.get("adapter_rank") == "auto":
        lora: LoraSettings | None = instantiate(cfg.model.lora)
        known["adapter_rank"] = lora.rank if lora else None
    return assemble(
        cfg.engine,
        folder=parts.model_folder,
        codec=parts.codec,
        images=parts.images,
        dtype=cfg.model.engine_dtype,
        attn_implementation=cfg.model.attn_implementation,
        **known,
    )


def build_rule(cfg: DictConfig, engine: Engine) -> InferenceRule | None:
    """The rule of `inference=`; None where there is none.

    Raises:
        ConfigError: The engine cannot do what it needs.
    """
    rule: InferenceRule | None = instantiate(cfg.inference)
    if rule is not None:
        rule.attach(engine)
    return rule


def build_asker(cfg: DictConfig, *, name: str, num_looks: int = 0) -> Asker:
    """The policy of `model.path`, for people to ask.

    Args:
        cfg: The settings.
        name: What it is called.
        num_looks: Turns that a person may take beyond the policy's own.
    """
    cfg = cfg.copy()
    limits = dict(cfg.env.limits)
    if num_looks and cfg.env.tools:
        turns = limits["max_turns"] + num_looks
        limits["max_response_tokens"] *= math.ceil(turns / limits["max_turns"])
        limits["max_turns"], limits["max_images"] = turns, limits["max_images"] + num_looks
        cfg.env.limits = limits
    parts = build_parts(cfg)
    engine = build_engine(cfg, parts)
    rule = build_rule(cfg, engine)
    return Asker(name, SharedEngine(engine), parts.environment, rule)


def build_all(nodes: DictConfig | None) -> list[Any]:
    """The objects of a group of which several may be chosen: a node of each, by name."""
    return [instantiate(node) for node in (nodes or {}).values()]


def needs_reference(cfg: DictConfig) -> bool:
    """Whether the start checkpoint is loaded beside the policy: where the run's algorithm reads its
    logprobs, and no adapters can be switched off instead.
    """
    algorithm: Algorithm | None = instantiate(cfg.module.get("algorithm"))
    return algorithm is not None and algorithm.needs_reference and cfg.model.lora is None


def own_device(cfg: DictConfig) -> torch.device:
    """The device that Lightning gives this process, found as the Trainer finds it: by accelerator,
    and by local rank where there are several.
    """
    one_of = {key: cfg.trainer[key] for key in ("accelerator", "devices", "num_nodes")}
    return Fabric(**one_of).device


def check_settings(cfg: DictConfig) -> None:
    """Import the plugins, and refuse a config with a value still missing, with a key that nothing
    takes, or that cannot learn, naming the key.
    """
    check_values(cfg)
    refuse_missing(cfg)
    import_plugins(cfg.plugins)
    check_targets(OmegaConf.to_container(cfg, resolve=True))
    for key in _OF_PLAIN_VALUES:
        node = OmegaConf.select(cfg, key)
        if str(OmegaConf.select(cfg, f"{key}._target_")).startswith("vigorl."):
            _try_out(node)
    if cfg.get("module"):
        _check_precision(cfg)
        for node in (cfg.module.get("algorithm"), cfg.module.get("importance_correction")):
            _try_out(node)
        algorithm = instantiate(cfg.module.get("algorithm"))
        check_critic(algorithm, is_there=bool(cfg.get("critic")))
        _try_out(cfg.get("overlap"))
        if cfg.get("overlap"):
            corrects = bool(cfg.module.get("importance_correction"))
            check_correction(algorithm, corrects=corrects)
        _try_out(cfg.get("early_stop"))
        _try_out(cfg.get("profile"))
        for key in ("entropy", "guard", "exploration", "guests", "sft_mix"):
            _try_out(cfg.get(key))
        for key in ("sampler", "groups", "probes", "signals"):
            group: Any = cfg.get(key) or {}
            for node in [group] if "_target_" in group else group.values():
                _try_out(node)
    if cfg.num_threads:
        torch.set_num_threads(cfg.num_threads)


def _check_precision(cfg: DictConfig) -> None:
    """Refuse AdamW on 16-bit weights: a step of lr 1e-6 rounds to nothing in nearly all of them.

    DeepSpeed steps float32 copies, and adapters are float32 beside any weights.
    """
    is_half = parse_dtype(cfg.model.dtype).itemsize < 4 and cfg.model.lora is None
    is_made_half = cfg.trainer.precision in ("16-true", "bf16-true")
    if (is_half or is_made_half) and not is_deepspeed(cfg.strategy):
        raise ConfigError(
            f"model.dtype={cfg.model.dtype} with trainer.precision={cfg.trainer.precision} and "
            "without DeepSpeed trains 16-bit weights, in which small updates round to nothing: "
            "set model.dtype=float32 and precision=bf16-mixed"
        )


def _try_out(node: DictConfig | None) -> None:
    """Instantiate it, so that it can refuse its settings in its own words."""
    try:
        instantiate(node)
    except InstantiationException as error:
        if isinstance(error.__cause__, VigorlError):
            raise error.__cause__ from None
        raise ConfigError(" ".join(str(error).split())) from error


def is_deepspeed(strategy: DictConfig | str) -> bool:
    """Whether `strategy` is DeepSpeed's, by its name or its class."""
    if isinstance(strategy, str):
        return strategy.startswith("deepspeed")
    return issubclass(get_class(strategy._target_), DeepSpeedStrategy)
