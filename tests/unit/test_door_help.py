from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
from omegaconf import DictConfig

from vigorl.core.errors import ConfigError
from vigorl.door import door
from vigorl.door_help import EXIT_CODES, choices_of, group_names, print_help
from vigorl.resolvers import CONFIGS


@pytest.mark.parametrize("name", ["train", "evaluate", "synthesize", "export"])
def test_a_page_names_every_group_and_setting_of_its_yaml(
    name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    print_help(name, config_name=name, doc="Does\nthis.\n\n    as it stands")
    page = capsys.readouterr().out
    assert "Does this.\n\n    as it stands" in page
    assert f"\n  python -m vigorl.{name} " in page
    lines = (Path(CONFIGS) / f"{name}.yaml").read_text().splitlines()
    keys = [line.partition(":")[0] for line in lines if line[:1].isalpha()]
    for key in {*keys} - {"defaults", "hydra"}:
        assert f"\n  {key}=" in page
    for line in lines:
        group, _, choice = line.removeprefix("  - ").partition(": ")
        if line.startswith("  - ") and group in group_names() and choice != "default":
            assert f"\n  {group}={choice.split()[0]}" in page
    for code, _ in EXIT_CODES:
        assert f"\n  {code} " in page
    # what is no command to be copied fits
    assert max(len(line) for line in page.splitlines() if "python -m" not in line) <= 80


def test_a_group_has_a_page_of_its_own_with_what_each_choice_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "guard").mkdir()
    (tmp_path / "guard" / "mine.yaml").write_text("# As I like it.\n_target_: mine.Guard\n")
    print_help("train", config_name="train", doc="", words=["guard"], own_folder=str(tmp_path))
    page = capsys.readouterr().out
    assert [line.split()[0] for line in page.splitlines() if re.match("  \\w", line)] == (
        choices_of("guard", own_folder=str(tmp_path))
    )
    assert "As I like it." in page
    assert "for some phases" in page
    with pytest.raises(ConfigError, match=r"--help gaurd: .* did you mean guard\?"):
        print_help("train", config_name="train", doc="", words=["gaurd"])


def test_a_door_prints_it_and_does_nothing_else(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    @door("train")
    def main(cfg: DictConfig) -> None:
        raise AssertionError

    monkeypatch.setattr(sys, "argv", ["train.py", "--help"])
    with pytest.raises(SystemExit) as caught:
        main()
    assert caught.value.code == 0
    assert capsys.readouterr().out.startswith("python -m vigorl.train [GROUP=CHOICE ...]")
