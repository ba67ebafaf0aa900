"""`python -m vigorl.DOOR --help`: what a door does, its groups, settings, flags and examples, read
from its docstring and its YAML; `--help GROUP` says what each choice of a group is.

Left out: the settings below the top, which `--cfg job` prints as they are composed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from vigorl.core.errors import ConfigError
from vigorl.resolvers import CONFIGS
from vigorl.targets import nearest

_BASE = re.compile(r"^  - (\w+)$", re.MULTILINE)
_SAYS = r"\s*(?:#\s*(?P<says>.*))?$"
_DEFAULT = re.compile(rf"^  - (?:override )?(?P<group>\w+): (?P<choice>\S+){_SAYS}")
_SETTING = re.compile(rf"^(?P<key>\w+):(?P<value>[^#]*?){_SAYS}")
_COMMAND = re.compile(r"^# (python -m vigorl\.\w+ .*)$")
_MOST_NAMED = 8  # choices of a group; more have a page of their own
_FLAGS = (
    ("--help [GROUP]", "this page; what each choice of a group is"),
    ("--cfg job", "prints the settings as composed and does nothing; --resolve fills in ${...}"),
    ("-m, --multirun", "several values of a key, one run after the other: -m seed=0,1,2"),
    ("--config-dir DIR", "groups of your own beside these"),
    ("--hydra-help", "what else Hydra takes"),
)
EXIT_CODES = (
    (0, "done"),
    (1, "an error, told in one line; the run's folder has the traceback in run.log"),
    (2, "the command line was refused before anything began"),
    (130, "interrupted by Ctrl-C, 143 by SIGTERM; the last line says how to go on"),
)


@dataclass(frozen=True, slots=True)
class _Line:
    name: str
    value: str
    says: str


def choices_of(group: str, *, own_folder: str | None = None) -> list[str]:
    """The names that a group offers, ours and those of a folder of the user's own."""
    places = [Path(CONFIGS), *([Path(own_folder)] if own_folder else [])]
    found = {path.stem for place in places for path in (place / group).glob("*.yaml")}
    return sorted(one for one in found if not one.startswith("_"))


def group_names(*, own_folder: str | None = None) -> list[str]:
    """Every folder of choices."""
    places = [Path(CONFIGS), *([Path(own_folder)] if own_folder else [])]
    return sorted({one.name for place in places for one in place.iterdir() if one.is_dir()})


def print_help(
    door: str,
    *,
    config_name: str,
    doc: str,
    words: Sequence[str] = (),
    own_folder: str | None = None,
) -> None:
    """Write the page to standard output.

    Args:
        door: Of `python -m vigorl.DOOR`.
        config_name: Its YAML at the top of configs/.
        doc: What the door says of itself.
        words: Groups to be told about; none: the door.
        own_folder: Of `--config-dir`.
    Raises:
        ConfigError: There is no such group.
    """
    console = Console(highlight=False, soft_wrap=False)
    for group in words:
        _print_choices(console, group.rstrip("="), own_folder=own_folder)
    if words:
        return
    lines = _lines(config_name)
    console.print(f"python -m vigorl.{door} [GROUP=CHOICE ...] [KEY=VALUE ...] [FLAG ...]\n")
    console.print(_reflowed(doc), markup=False)
    rows = [(f"{one.name}={one.value}", _about(one)) for one in _last_of_each(_defaults(lines))]
    _print_table(console, "Groups, with the choice that is taken where you say none", rows)
    rows = [(f"{one.name}={one.value}", one.says) for one in _last_of_each(_settings(lines))]
    _print_table(console, "Settings at the top; --cfg job prints all of them", rows)
    _print_table(console, "Flags", _FLAGS)
    examples = [match[1] for line in lines if (match := _COMMAND.match(line))]
    if own := [one for one in examples if f"vigorl.{door} " in one]:
        console.print("\n[bold]Examples[/bold]")
        for one in own:
            console.print(f"  {one}", markup=False, soft_wrap=True)
    _print_table(console, "Exit codes", [(str(code), says) for code, says in EXIT_CODES])
    console.print("\nEvery error message is in docs/troubleshooting.md.")


def _reflowed(doc: str) -> str:
    """Its paragraphs in one line each, which the screen cuts; what is indented stays.

    >>> _reflowed("One\\ntwo.\\n\\n    a command")
    'One two.\\n\\n    a command'
    """
    parts = doc.strip("\n").split("\n\n")
    return "\n\n".join(one if one.startswith("    ") else " ".join(one.split()) for one in parts)


def _print_table(console: Console, title: str, rows: Sequence[tuple[str, str]]) -> None:
    if not rows:
        return
    console.print(f"\n[bold]{title}[/bold]")
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True, min_width=18)
    table.add_column(overflow="fold")
    for name, says in rows:
        table.add_row(Text(f"  {name}"), Text(says))
    console.print(table)


def _print_choices(console: Console, group: str, *, own_folder: str | None) -> None:
    choices = choices_of(group, own_folder=own_folder)
    if not choices:
        meant = nearest(group, group_names(own_folder=own_folder))
        guess = f"did you mean {meant}?" if meant else "--help alone lists them"
        raise ConfigError(f"--help {group}: there is no such group; {guess}")
    rows = [(one, _first_words(group, one, own_folder)) for one in choices]
    _print_table(console, f"{group}=CHOICE", rows)


def _first_words(group: str, choice: str, own_folder: str | None) -> str:
    """The comment at a YAML's top, without its command."""
    own = Path(own_folder or CONFIGS) / group / f"{choice}.yaml"
    path = own if own.is_file() else Path(CONFIGS) / group / f"{choice}.yaml"
    said: list[str] = []
    for line in path.read_text().splitlines():
        if line.startswith("# @package"):
            continue
        if not line.startswith("#"):
            break
        if not line.startswith("# python -m"):
            said.append(line.lstrip("# "))
    return " ".join(said[:2])


def _lines(config_name: str) -> list[str]:
    """Of a door's YAML, after those of the YAML that it is based on."""
    text = (Path(CONFIGS) / f"{config_name}.yaml").read_text()
    bases = [one for one in _BASE.findall(text) if one != "_self_"]
    return [line for base in bases for line in _lines(base)] + text.splitlines()


def _last_of_each(lines: Iterable[_Line]) -> list[_Line]:
    return list({line.name: line for line in lines}.values())


def _defaults(lines: Sequence[str]) -> Iterator[_Line]:
    for line in lines:
        if (match := _DEFAULT.match(line)) and match["choice"] != "default":
            yield _Line(match["group"], match["choice"], match["says"] or "")


def _settings(lines: Sequence[str]) -> Iterator[_Line]:
    for line in lines:
        if (match := _SETTING.match(line)) and match["key"] not in ("defaults", "hydra"):
            value, says = match["value"].strip() or "...", match["says"] or ""
            yield _Line(
                match["key"], value, f"must be set; {says}".rstrip("; ") if value == "???" else says
            )


def _about(group: _Line) -> str:
    choices = choices_of(group.name)
    if len(choices) > _MOST_NAMED:
        named = f"{len(choices)} choices: --help {group.name}"
    elif all(one in group.says for one in choices if one != "none"):
        return group.says
    else:
        named = " | ".join(choices)
    return f"{group.says} ({named})" if group.says else named
