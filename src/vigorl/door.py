"""What every command does with its command line: `@door("train")` above a `main(cfg)`.

A setting that is not there and a choice that is not offered are refused in one line that names the
nearest one, before Hydra prints its own; so is a ConfigError. HYDRA_FULL_ERROR=1 raises instead.
"""

from __future__ import annotations

import functools
import os
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import hydra
from hydra import compose, initialize_config_dir
from hydra._internal.utils import get_args_parser
from hydra.errors import ConfigCompositionException, MissingConfigException
from omegaconf import DictConfig, OmegaConf

from vigorl.build import CONFIGS
from vigorl.core.errors import ConfigError
from vigorl.stopping import stopped_by_signals
from vigorl.targets import key_paths, nearest

_REFUSED_KEY = re.compile(r"Could not (?:override '(?P<set>[^']+)'|delete .*'(?P<deleted>[^']+)')")


def door(config_name: str) -> Callable[[Callable[[DictConfig], None]], Callable[[], None]]:
    """Make a function of the composed config the entry of `python -m`.

    Args:
        config_name: The YAML at the top of configs/ that the command line changes;
            `--config-name` chooses another.
    """

    def decorate(task: Callable[[DictConfig], None]) -> Callable[[], None]:
        @functools.wraps(task)
        def run(cfg: DictConfig) -> None:
            with _refusals(), stopped_by_signals(config_name, cfg):
                task(cfg)

        enter = hydra.main(version_base="1.3", config_path=CONFIGS, config_name=config_name)(run)

        @functools.wraps(task)
        def main() -> None:
            said = get_args_parser().parse_args()
            # Hydra itself reads several values for a key, and requests for help
            if not (said.multirun or said.config_path or said.hydra_help):
                with _refusals():
                    name = said.config_name or config_name
                    check_overrides(name, said.overrides, own_folder=said.config_dir)
            enter()

        return main

    return decorate


@contextmanager
def _refusals() -> Iterator[None]:
    """Ends the process with one line on a ConfigError, so that Hydra adds no traceback to it."""
    try:
        yield
    except ConfigError as error:
        if os.environ.get("HYDRA_FULL_ERROR") == "1":
            raise
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)


def check_overrides(
    config_name: str, overrides: Sequence[str], *, own_folder: str | None = None
) -> None:
    """Compose once with what a command line says.

    Args:
        config_name: The YAML at the top.
        overrides: As on the command line.
        own_folder: Holds groups of the user's own, as `--config-dir` says.
    Raises:
        ConfigError: It names a setting or a choice that is not there; the message names the one
            that it was probably meant to be.
    """
    if own_folder and not os.path.isdir(own_folder):
        raise ConfigError(f"--config-dir {own_folder}: there is no such folder")
    found = [f"hydra.searchpath=[{os.path.abspath(own_folder)!r}]"] if own_folder else []
    with initialize_config_dir(CONFIGS, version_base="1.3"):
        try:
            compose(config_name, [*found, *overrides])
        except MissingConfigException as error:
            raise ConfigError(_unknown_choice(error)) from error
        except ConfigCompositionException as error:
            refused = _REFUSED_KEY.search(str(error))
            if refused is None:
                raise
            key = refused["set"] or refused["deleted"]
            others = [one for one in overrides if one.partition("=")[0].lstrip("~") != key]
            others = [*found, *others]
            raise ConfigError(_unknown_key(key, config_name, others)) from error


def _unknown_choice(error: MissingConfigException) -> str:
    group, _, choice = str(error.missing_cfg_file).rpartition("/")
    options = error.options or ()
    meant = nearest(choice, options)
    guess = f"did you mean {group}={meant}? " if meant else ""
    return f"there is no {group}={choice}; {guess}The choices are {', '.join(options)}"


def _unknown_key(key: str, config_name: str, others: Sequence[str]) -> str:
    """The other overrides may have chosen the groups that hold the key that was meant."""
    try:
        known = key_paths(OmegaConf.to_container(compose(config_name, list(others))))
    except ConfigCompositionException:  # a second one is refused too: search the defaults' keys
        known = key_paths(OmegaConf.to_container(compose(config_name)))
    meant = nearest(key, known)
    guess = f"did you mean {meant}?" if meant else "none is like it"
    return f"there is no setting {key}; {guess} (+{key}=... would add it)"
