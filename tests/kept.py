"""What hundreds of tests would read or make anew: read or made once in a process of tests. Doors
that a test starts do it all themselves.
"""

from __future__ import annotations

import pickle
import shutil
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import omegaconf.base
from hydra._internal import defaults_list
from hydra.core.default_element import InputDefault
from hydra.core.plugins import Plugins
from hydra.plugins.config_source import ConfigResult, ConfigSource
from omegaconf import DictConfig


def keep_what_is_composed() -> None:
    """A YAML is read again only if it has changed, and a text with ${...} is parsed once: most of
    the time in which a config is composed and resolved. What is composed is the same.
    """
    for source in Plugins.instance().discover(ConfigSource):  # it makes these classes anew
        if source.__name__ in ("FileConfigSource", "ImportlibResourcesConfigSource"):
            source.load_config = _kept(source.load_config)
    defaults_list._create_interpolation_map = _where_asked_for(
        defaults_list._create_interpolation_map
    )
    omegaconf.base.parse = lru_cache(maxsize=4096)(omegaconf.base.parse)


def _kept(load: Callable[[Any, str], ConfigResult]) -> Callable[[Any, str], ConfigResult]:
    found: dict[tuple[str, str, str, int], bytes] = {}

    def load_once(self: ConfigSource, config_path: str) -> ConfigResult:
        path = Path(self.path, self._normalize_file_name(config_path))
        changed = path.stat().st_mtime_ns if path.is_file() else 0  # Hydra's own do not change
        key = (self.full_path(), self.provider, config_path, changed)
        if key not in found:
            found[key] = pickle.dumps(load(self, config_path))
        return pickle.loads(found[key])  # a copy, in less time than `copy.deepcopy`

    return load_once


def _where_asked_for(make_map: Callable[..., DictConfig]) -> Callable[..., DictConfig]:
    """Hydra makes a map of all choices for each YAML; only a default with ${...} looks at it."""

    def make(overrides: Any, defaults: list[InputDefault], self_added: bool) -> DictConfig:
        is_asked_for = any(not one.is_self() and one.is_interpolation() for one in defaults)
        return make_map(overrides, defaults, self_added) if is_asked_for else DictConfig({})

    return make


def copied_store(make: Callable[[Path], None], folder: Path) -> Callable[[Path], None]:
    """In place of `vigorl.mlflow_store._make`, whose migrations take seconds: a copy of one store.

    Args:
        make: It.
        folder: Of the store that is copied, for all tests of this process.
    """

    def copy_whole(path: Path) -> None:
        whole = folder / "whole.db"
        if not whole.exists():
            folder.mkdir(exist_ok=True)
            make(whole)
        shutil.copy(whole, path)

    return copy_whole
