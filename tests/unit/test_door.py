from __future__ import annotations

import sys
from pathlib import Path

import pytest
from omegaconf import DictConfig

from vigorl.build import prepare_process
from vigorl.core.errors import ConfigError
from vigorl.door import check_overrides, door

prepare_process()


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("plan.group_sise=4", r"no setting plan\.group_sise; did you mean plan\.group_size\?"),
        ("~plan.pases", r"no setting plan\.pases; did you mean plan\.passes\?"),
        ("sede=1", r"no setting sede; did you mean seed\?"),
        ("colour=red", r"no setting colour; none is like it \(\+colour=\.\.\. would add it\)"),
        ("experiment=grpo_vstr", r"no experiment=grpo_vstr; did you mean experiment=grpo_vstar\?"),
        ("scale=huge", r"no scale=huge; The choices are full, qwen2_5_vl_3b"),
    ],
)
def test_an_unknown_setting_or_choice_suggests_the_nearest(override: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        check_overrides("train", ["scale=qwen2_5_vl_7b", override])
    assert "\n" not in str(caught.value)


def test_keys_of_the_groups_that_were_chosen_are_suggested() -> None:
    with pytest.raises(ConfigError, match=r"did you mean sampler\.skip_above\?"):
        check_overrides("train", ["sampler=solve_rate", "sampler.skip_abov=0.5"])


def test_a_folder_of_ones_own_has_its_choices_checked_too(tmp_path: Path) -> None:
    (tmp_path / "reward").mkdir()
    (tmp_path / "reward" / "mine.yaml").write_text("_target_: mine.Reward\n")
    check_overrides("train", ["reward=mine"], own_folder=str(tmp_path))
    with pytest.raises(ConfigError, match=r"no reward=mime; did you mean reward=mine\?"):
        check_overrides("train", ["reward=mime"], own_folder=str(tmp_path))
    with pytest.raises(ConfigError, match=r"did you mean seed\?"):
        check_overrides("train", ["reward=mine", "sede=1"], own_folder=str(tmp_path))
    with pytest.raises(ConfigError, match=r"--config-dir .*gone: there is no such folder"):
        check_overrides("train", [], own_folder=str(tmp_path / "gone"))


def test_two_unknown_settings_are_refused_by_the_first() -> None:
    with pytest.raises(ConfigError, match=r"no setting sede; did you mean seed\?"):
        check_overrides("train", ["sede=1", "colour=red"])


def run(task_error: Exception | None, *words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    @door("train")
    def main(cfg: DictConfig) -> None:
        print(f"seed {cfg.seed}")
        if task_error:
            raise task_error

    monkeypatch.setattr(sys, "argv", ["train", *words])
    main()


def test_a_door_gets_the_composed_config(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run(None, "seed=3", monkeypatch=monkeypatch)
    assert capsys.readouterr().out == "seed 3\n"


@pytest.mark.parametrize(
    ("error", "words", "line"),
    [
        (None, ["sede=1"], "error: there is no setting sede"),
        (ConfigError("paths.run is odd"), [], "error: paths.run is odd"),
    ],
)
def test_a_wrong_setting_ends_in_one_line(
    error: Exception | None,
    words: list[str],
    line: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit) as caught:
        run(error, *words, monkeypatch=monkeypatch)
    assert caught.value.code == 1
    (said,) = capsys.readouterr().err.splitlines()
    assert said.startswith(line)


def test_the_whole_trace_is_shown_where_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    with pytest.raises(ConfigError, match="is odd"):
        run(ConfigError("paths.run is odd"), monkeypatch=monkeypatch)
