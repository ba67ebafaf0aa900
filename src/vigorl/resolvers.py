"""Where the YAMLs are, and what they may ask by ${vigorl_...:...}. Imports nothing that takes
long, so that an error of settings is answered before torch is imported.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from vigorl.core.errors import ConfigError
from vigorl.core.markup import Dialect, Markup
from vigorl.core.protocols import Tool
from vigorl.data.prompt_writer import Form, PromptWriter
from vigorl.evaluation.protocols import lmms_eval, vlmevalkit

# in a checkout a link to the folder at its top, in a wheel a copy of that folder
CONFIGS = str((Path(__file__).parent / "configs").resolve())
_KITS = {kit.name: kit for kit in (lmms_eval.KIT, vlmevalkit.KIT)}
ASSETS = Path(__file__).resolve().parent / "assets"


def shipped(path: str) -> str:
    """The folder of a model that ships with the package, by its name; any other path as it is.

    >>> shipped("tiny_trained").endswith("vigorl/assets/tiny_trained"), shipped("a/model")
    (True, 'a/model')
    """
    inside = ASSETS / path
    is_name = path == inside.name and (inside / "config.json").is_file()
    return str(inside) if is_name and not Path(path).exists() else path


def register_resolvers() -> None:
    """Teach the YAMLs ${vigorl_...:...}."""
    for name, resolver in {
        "vigorl_asset": lambda name: str(ASSETS / name),
        "vigorl_accumulate": _accumulate,
        "vigorl_artifacts": _artifacts,
        "vigorl_chain_form": _chain_form,
        "vigorl_digest": _digest,
        "vigorl_kit_tokens": _kit_tokens,
        "vigorl_stage": _stage_folder,
        "vigorl_system": _system_text,
    }.items():
        OmegaConf.register_new_resolver(name, resolver, replace=True)


def _kit_tokens(kit: str, benchmark: str) -> int:
    """The longest reply that an evaluation kit asks for on a benchmark, in tokens."""
    return _KITS[kit].longest_reply(benchmark)


def _stage_folder(name: str, *, _root_: DictConfig) -> str:
    """Of a stage before this one, by its name in the YAML; see `vigorl.settings.stages`."""
    folders = {name: name}  # of a config whose stages are not told apart yet
    if _root_.get("stage"):
        folders = _root_.stage.folders
    if name not in folders:
        raise ConfigError(
            f"${{vigorl_stage:{name}}}: no such stage comes before {_root_.stage.name}; there are "
            f"{', '.join(folders) or 'none'}"
        )
    return f"{_root_.paths.base}/{folders[name]}"


def _artifacts(outputs: str, tracking_uri: str | None) -> str | None:
    """Where MLflow keeps pages and models: beside a store on this disk; None leaves it to a
    server.
    """
    is_on_disk = urlsplit(tracking_uri or "").scheme in ("", "file", "sqlite")
    if not is_on_disk or tracking_uri == "databricks":
        return None
    return (Path(outputs).resolve() / "mlartifacts").as_uri()


def _system_text(form: str, *, _root_: DictConfig) -> str:
    """What the run's prompt says in another form."""
    writer: PromptWriter = replace(instantiate(_root_.env.prompt), form=Form(form))
    tools = [instantiate(tool) for tool in _root_.env.tools]
    dialect = dialect_of(_root_, tools)
    most = _root_.env.limits.get("max_calls_per_turn", 1)
    return writer.write(tools=tools, dialect=dialect, max_calls=most).system


def dialect_of(cfg: DictConfig, tools: Sequence[Tool]) -> Dialect | None:
    """How the policy writes calls of its tools; None is the canonical form."""
    markup: Markup | None = instantiate(cfg.env.get("markup"))
    return markup.dialect(tools) if markup else None


def _chain_form(*, _root_: DictConfig) -> str:
    """Of worked solutions: dialogs where there is a tool to look with."""
    return "multi_turn" if _root_.env.tools else "single_turn"


def _accumulate(
    sequences: int,
    micro_batch: int,
    devices: Any,
    num_nodes: int,
    tokens: int | None = None,
    *,
    _root_: DictConfig,
) -> int:
    """Micro-batches per update on each rank, one for each sequence where tokens are counted, those
    of the ranks that read with it among them; the data module checks it against the ranks that
    really run.
    """
    if not isinstance(devices, int) or devices < 1:
        raise ConfigError(f"trainer.devices must be a number of devices, got {devices!r}")
    each = micro_batch if tokens is None else 1
    return max(sequences // (each * devices * num_nodes), 1) * _root_.model.context_parallel


def _digest(*, _parent_: DictConfig) -> str:
    """Eight letters of all settings beside `data.root` that say what is made there, so that
    another world has another folder; which traces are served makes none.
    """
    others = [str(key) for key in _parent_ if key not in ("root", "trace_categories")]
    found = {key: _plain(_parent_, key) for key in others}
    text = json.dumps(found, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def _plain(node: DictConfig, key: str) -> Any:
    value = node[key]
    return OmegaConf.to_container(value, resolve=True) if OmegaConf.is_config(value) else value
