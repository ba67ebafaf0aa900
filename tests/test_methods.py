"""docs/methods.md: every command of it composes, every file of it is there, and what it calls
measured is what docs/recipes.md has measured.
"""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir

from vigorl.build import CONFIGS, check_settings, prepare_process
from vigorl.settings.stages import all_stages

prepare_process()

DOCS = Path(CONFIGS).parent / "docs"
NUM_SYSTEMS = 70  # of the papers that this project follows; relatives stand in a table of their own


def rows(page: str) -> list[list[str]]:
    """The cells of each row of each table, without heads."""
    text = (DOCS / page).read_text(encoding="utf-8")
    found = [row.strip("| ").split(" | ") for row in re.findall(r"^\|.+$", text, re.M)]
    return [cells for cells in found if cells[0] not in ("system", "recipe", "---|---|---|---|---")]


SYSTEMS = [row for row in rows("methods.md") if not row[0].startswith("---")]
COMMANDS = sorted({one for row in SYSTEMS for one in re.findall(r"`([^`]+)`", row[2])})
# tests/test_configs.py composes every experiment as it stands
OTHERS = [one for one in COMMANDS if not re.fullmatch(r"\w+ experiment=\w+", one)]


def test_every_system_has_one_row() -> None:
    assert {len(row) for row in SYSTEMS} == {5}
    doubled = [name for name, times in Counter(row[0] for row in SYSTEMS).items() if times > 1]
    assert not doubled
    text = (DOCS / "methods.md").read_text(encoding="utf-8")
    relatives = text.split("## Relatives")[1].count("\n| ") - 1
    assert len(SYSTEMS) - relatives == NUM_SYSTEMS


def test_a_system_has_something_here_or_nothing() -> None:
    for name, here, command, measured, missing in SYSTEMS:
        assert (here == "-") == (command == "-") == (measured == "-"), name
        assert missing != "-" or here != "-", f"{name}: why is it not here?"


@pytest.mark.parametrize("words", OTHERS)
def test_a_command_composes(words: str) -> None:
    door, *overrides = words.split()
    with initialize_config_dir(CONFIGS, version_base="1.3"):
        for cfg in all_stages(compose(door, overrides)):
            check_settings(cfg)


def test_an_experiment_of_a_command_is_there() -> None:
    named = {name for one in COMMANDS for name in re.findall(r"experiment=(\w+)", one)}
    assert named <= {path.stem for path in Path(CONFIGS, "experiment").glob("*.yaml")}


def test_links_lead_to_files() -> None:
    text = (DOCS / "methods.md").read_text(encoding="utf-8")
    links = set(re.findall(r"\]\(([^)#]+)\)", text))
    assert not [one for one in links if not (DOCS / one).is_file()]


def test_what_is_called_measured_is() -> None:
    """A recipe that docs/recipes.md has measured is linked with its number of seeds; one that it
    has not is not.
    """
    said = {row[0].split(" (")[0]: row for row in rows("recipes.md") if row[0]}
    for system, _, commands, measured, _ in SYSTEMS:
        recipes = re.findall(r"experiment=recipe_(\w+)", commands)
        seeds = [len(said[name][6].split(",")) for name in recipes if said[name][6] != "-"]
        claimed = re.findall(r"\[(\d) seeds?\]\(recipes\.md\)", measured)
        assert claimed == [str(number) for number in seeds], (
            f"{system}: docs/methods.md and docs/recipes.md differ"
        )
