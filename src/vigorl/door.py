"""What every command does with its command line: `@door("train")` above a `main(cfg)`.

A setting that is not there, a choice that is not offered, a value that is not allowed and an
experiment of another command are refused in one line with exit code 2, before Hydra prints its own
and, by `refuse_early`, before torch is imported. Every error of ours, and what the machine refuses,
is one line too, with exit code 1. HYDRA_FULL_ERROR=1 raises instead. All exit codes: `door_help`.
"""

from __future__ import annotations

import functools
import os
import re
import sys
from argparse import ArgumentError, Namespace
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path

import hydra
from hydra import compose, initialize_config_dir
from hydra._internal.utils import get_args_parser
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, ValueType
from hydra.errors import (
    ConfigCompositionException,
    HydraException,
    MissingConfigException,
    OverrideParseException,
)
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from vigorl.core.errors import ConfigError, VigorlError
from vigorl.door_help import choices_of, group_names, print_help
from vigorl.machine_faults import told_in_one_line
from vigorl.pipes import let_pipes_close
from vigorl.resolvers import CONFIGS, register_resolvers
from vigorl.settings import check_values, fields_of, refuse_missing
from vigorl.settings.reach import refuse_outdone
from vigorl.settings.stated import code_of, names_in
from vigorl.stopping import stopped_by_signals, take_signals
from vigorl.targets import SaysWhy, key_paths, nearest

USAGE, FAILED = 2, 1  # exit codes of a refused command line and of what goes wrong later
_MOST_NAMED = 20  # choices in an error
_LIST = re.compile(r"benchmark=\[([^\]]*)\]")
_REFUSED_KEY = re.compile(r"Could not (?:override '(?P<set>[^']+)'|delete .*'(?P<deleted>[^']+)')")


def refuse_early(module: str, config_name: str, *, may_miss: bool = False) -> None:
    """What a door's file calls between its light imports and those that take seconds.

    Args:
        module: Its `__name__`: imported by another, it has no command line.
        config_name: As of its `door`.
        may_miss: It goes on without the values that no default can know.
    """
    if module == "__main__":
        let_pipes_close()
        take_signals()  # while the imports go on, there is nothing to tell
        register_resolvers()
        sys.argv[1:] = in_a_row(sys.argv[1:])
        with refusals(code=USAGE):
            _help_if_asked(config_name, sys.modules[module].__doc__ or "")
            cfg = _check_command_line(config_name, tuple(sys.argv[1:]))
            if cfg is not None and not may_miss:
                refuse_missing(cfg)


def as_suite(words: Sequence[str]) -> list[str]:
    """A command line as Hydra takes it: it would merge the YAMLs of `benchmark=[a,b]` into one.

    >>> as_suite(["benchmark=[vstar,blink]", "limit=3"])
    ['benchmark=_suite', 'suite=[vstar,blink]', 'limit=3']
    """
    found: list[str] = []
    for word in words:
        match = _LIST.fullmatch(word)
        found += ["benchmark=_suite", f"suite=[{match[1]}]"] if match else [word]
    return found


def in_a_row(words: Sequence[str]) -> list[str]:
    """A command line as Hydra takes it: settings on both sides of a flag would be no settings.

    >>> in_a_row(["seed=0,1", "-m", "name=two"]), in_a_row(["-m", "seed=0,1"])
    (['seed=0,1', 'name=two', '-m'], ['-m', 'seed=0,1'])
    """
    is_setting = [one.startswith("~") or ("=" in one and one[:1] != "-") for one in words]
    places = [i for i, found in enumerate(is_setting) if found]
    if not places or places[-1] - places[0] < len(places):
        return list(words)
    flags = [one for one, found in zip(words, is_setting, strict=True) if not found]
    return [words[i] for i in places] + flags


def at_its_door(words: Sequence[str]) -> list[str]:
    """A command line of what several doors take, with the `--config-name` of the one that it is
    for: a benchmark is evaluated, and so is what experiment's YAML says so.

    >>> at_its_door(["benchmark=vstar"])
    ['--config-name', 'evaluate', 'benchmark=vstar']
    """
    said = dict(word.split("=", 1) for word in words if "=" in word)
    own = Path(CONFIGS) / "experiment" / f"{said.get('experiment')}.yaml"
    doors = DictConfig(OmegaConf.load(own)).get("doors") if own.is_file() else None
    is_said = any(word.startswith(("--config-name", "-cn")) for word in words)
    if is_said or not ("benchmark" in said or doors == ["evaluate"]):
        return list(words)
    return ["--config-name", "evaluate", *as_suite(words)]


def door(config_name: str) -> Callable[[Callable[[DictConfig], None]], Callable[[], None]]:
    """Make a function of the composed config the entry of `python -m`.

    Args:
        config_name: The YAML at the top of configs/ that the command line changes;
            `--config-name` chooses another.
    """

    def decorate(task: Callable[[DictConfig], None]) -> Callable[[], None]:
        @functools.wraps(task)
        def run(cfg: DictConfig) -> None:
            with (
                refusals(),
                told_in_one_line(config_name, cfg),
                stopped_by_signals(config_name, cfg),
            ):
                task(cfg)

        enter = hydra.main(version_base="1.3", config_path=CONFIGS, config_name=config_name)(run)

        @functools.wraps(task)
        def main() -> None:
            sys.argv[1:] = in_a_row(sys.argv[1:])
            with refusals(code=USAGE):
                _help_if_asked(config_name, sys.modules[task.__module__].__doc__ or "")
                _check_command_line(config_name, tuple(sys.argv[1:]))
            enter()

        return main

    return decorate


@lru_cache(maxsize=1)  # `refuse_early` and `main` ask the same
def _check_command_line(config_name: str, words: tuple[str, ...]) -> DictConfig | None:
    """What it composes; None where Hydra itself reads it: several values for a key, or a request
    for help.
    """
    said = _parsed(words)
    if said.config_path or said.hydra_help or said.shell_completion or said.info:
        return None
    name = said.config_name or config_name
    if said.multirun:
        for overrides in one_value_each(said.overrides):
            _check(name, overrides, own_folder=said.config_dir)
        return None
    if said.cfg:  # whoever looks at values has not set them all yet
        check_overrides(name, said.overrides, own_folder=said.config_dir)
        return None
    return _check(name, said.overrides, own_folder=said.config_dir)


def _check(name: str, overrides: Sequence[str], *, own_folder: str | None) -> DictConfig:
    cfg = check_overrides(name, overrides, own_folder=own_folder)
    refuse_other_door(cfg, name, overrides)
    check_values(cfg)
    if not cfg.get("resume"):  # else most of the settings are the run's own
        refuse_outdone(cfg, overrides, door=name)
    return cfg


def one_value_each(overrides: Sequence[str]) -> list[list[str]]:
    """Command lines that have each value of a sweep once, rather than all their combinations; of an
    interval there is no list.

    >>> one_value_each(["seed=0,1", "kl_coef=0"])
    [['seed=0', 'kl_coef=0'], ['seed=1', 'kl_coef=0']]
    """
    values: list[list[str]] = []
    for text, one in zip(overrides, _overrides(overrides), strict=True):
        if not one.is_sweep_override():
            values.append([text])
        elif one.is_discrete_sweep() and one.value_type is not ValueType.GLOB_CHOICE_SWEEP:
            values.append([f"{one.get_key_element()}={v}" for v in one.sweep_string_iterator()])
    first = [one[0] for one in values]
    found = [first]
    for place, several in enumerate(values):
        found += [[*first[:place], one, *first[place + 1 :]] for one in several[1:]]
    return found


def _overrides(overrides: Sequence[str]) -> list[Override]:
    try:
        return OverridesParser.create().parse_overrides(list(overrides))
    except OverrideParseException as error:
        raise ConfigError(_unreadable(error)) from error


def _parsed(words: Sequence[str]) -> Namespace:
    """Raises ConfigError where Hydra's own parser would print its usage."""
    parser = get_args_parser()
    parser.exit_on_error = False
    try:
        said, unknown = parser.parse_known_args(words)
    except ArgumentError as error:
        raise ConfigError(f"{error} (--help lists the flags)") from error
    if unknown:
        meant = nearest(unknown[0], re.findall(r"--[\w-]+", parser.format_usage()))
        guess = f"did you mean {meant}?" if meant else "--help lists them"
        raise ConfigError(f"there is no flag {unknown[0]}; {guess}")
    return said


def _help_if_asked(config_name: str, doc: str) -> None:
    """Prints it and ends the process with exit code 0."""
    said = _parsed(sys.argv[1:])
    if said.help:
        print_help(
            Path(sys.argv[0]).stem,
            config_name=said.config_name or config_name,
            doc=doc,
            words=said.overrides,
            own_folder=said.config_dir,
        )
        sys.exit(0)


def refuse_other_door(cfg: DictConfig, config_name: str, overrides: Sequence[str]) -> None:
    """Raises ConfigError where the experiment is for another command."""
    doors = cfg.get("doors") or [config_name]
    chosen = dict(one.split("=", 1) for one in overrides if "=" in one).get(
        "experiment", cfg.get("name")
    )
    if config_name not in doors:
        raise ConfigError(
            f"{chosen} is not for vigorl.{config_name}: "
            f"python -m vigorl.{doors[0]} experiment={chosen}"
        )


@contextmanager
def refusals(*, code: int = FAILED) -> Iterator[None]:
    """Ends the process with one line on an error of ours, or of Hydra's and OmegaConf's about a
    config, so that no traceback is added to it.

    Args:
        code: The process's exit code.
    """
    try:
        yield
    except (VigorlError, HydraException, OmegaConfBaseException) as error:
        if os.environ.get("HYDRA_FULL_ERROR") == "1":
            raise
        has_colours = sys.stderr.isatty() and not os.environ.get("NO_COLOR")
        head = "\x1b[1;31merror:\x1b[0m" if has_colours else "error:"
        print(f"{head} {_in_one_line(own_words(error))}", file=sys.stderr)
        sys.exit(code)


def own_words(error: BaseException) -> str:
    """Of ours, as it stands, wherever it was raised; of another, its kind and where it stood."""
    inner: BaseException | None = error
    while inner is not None:
        if isinstance(inner, VigorlError):
            return str(inner)
        inner = inner.__cause__
    text = str(error).strip() or type(error).__name__
    return f"{text} (HYDRA_FULL_ERROR=1 shows the whole trace)"


def _in_one_line(text: str) -> str:
    """What is listed below each other, behind each other.

    >>> _in_one_line("other settings:\\n  seed: 0 -> 1\\n  lr: 1 -> 2\\ntake these back")
    'other settings: seed: 0 -> 1; lr: 1 -> 2; take these back'
    """
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    joints = [" " if line.endswith((":", ",", ";", " by")) else "; " for line in lines[:-1]]
    return "".join(map("".join, zip(lines, [*joints, ""], strict=True)))


def check_overrides(
    config_name: str, overrides: Sequence[str], *, own_folder: str | None = None
) -> DictConfig:
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
            return compose(config_name, [*found, *overrides])
        except MissingConfigException as error:
            raise ConfigError(_unknown_choice(error, own_folder)) from error
        except OverrideParseException as error:
            raise ConfigError(_unreadable(error)) from error
        except ConfigCompositionException as error:
            refused = _REFUSED_KEY.search(str(error))
            if refused is None:
                raise
            key = refused["set"] or refused["deleted"]
            others = [one for one in overrides if one.partition("=")[0].lstrip("~") != key]
            others = [*found, *others]
            groups = group_names(own_folder=own_folder)
            raise ConfigError(_unknown_key(key, config_name, others, groups)) from error
        except ValueError as error:  # Hydra's, of a key that is a number
            raise ConfigError(f"{' '.join(overrides)}: {error}") from error


def _unreadable(error: OverrideParseException) -> str:
    word = str(error.override)
    if "=" not in word:
        of = [one for one in group_names() if word in choices_of(one)]
        guess = f"did you mean {of[0]}={word}?" if of else f"{word}=VALUE gives a setting a value"
        return f"{word} is no setting with a value; {guess}"
    return f"{word}: {str(error.message).splitlines()[0]}; quote it, as in 'key=\"a, b\"'"


def _unknown_choice(error: MissingConfigException, own_folder: str | None) -> str:
    group, _, choice = str(error.missing_cfg_file).rpartition("/")
    options = choices_of(group, own_folder=own_folder)
    meant = nearest(choice, options)
    guess = f"did you mean {group}={meant}? " if meant else ""
    if len(options) > _MOST_NAMED:
        return f"there is no {group}={choice}; {guess}--help {group} lists all {len(options)}"
    return f"there is no {group}={choice}; {guess}The choices are {', '.join(options)}"


def _unknown_key(key: str, config_name: str, others: Sequence[str], groups: Sequence[str]) -> str:
    """The other overrides may have chosen the groups that hold the key that was meant."""
    try:
        cfg = compose(config_name, list(others))
    except ConfigCompositionException:  # a second one is refused too: search the defaults' keys
        cfg = compose(config_name)
    group, _, name = key.rpartition(".")
    code = code_of(str(OmegaConf.select(cfg, f"{group}._target_"))) if group else None
    if isinstance(code, SaysWhy) and name in code.refused:
        return f"{key} has no meaning with {code.__name__}: {code.refused[name]}"
    if group and name in {*fields_of(group), *names_in(code)}:
        return f"{key} has its default in the code, not in the YAML: +{key}=... sets it"
    known = key_paths(OmegaConf.to_container(cfg))
    if not (meant := nearest(key, known)) and (near := nearest(key, groups)):
        return f"there is no setting {key}; did you mean {near}=...? (--help {near} lists them)"
    guess = f"did you mean {meant}?" if meant else "none is like it"
    return f"there is no setting {key}; {guess} (+{key}=... would add it)"
