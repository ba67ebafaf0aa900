from __future__ import annotations

import sys
from pathlib import Path

import pytest
import yaml
from hydra.utils import instantiate
from omegaconf import DictConfig
from omegaconf.errors import ValidationError

from vigorl.build import prepare_process
from vigorl.core.errors import ConfigError
from vigorl.door import (
    _check_command_line,
    at_its_door,
    check_overrides,
    door,
    in_a_row,
    one_value_each,
    refusals,
    refuse_other_door,
)
from vigorl.resolvers import CONFIGS

prepare_process()


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("plan.group_sise=4", r"no setting plan\.group_sise; did you mean plan\.group_size\?"),
        ("~plan.pases", r"no setting plan\.pases; did you mean plan\.passes\?"),
        ("sede=1", r"no setting sede; did you mean seed\?"),
        ("rollout.eval_limit=2", r"has its default in the code, not in the YAML: \+rollout\.eval"),
        ("data.scene.num_clutter=2", r"^data\.scene\.num_clutter has its default in the code"),
        ("debug=slow", r"no debug=slow; The choices are fast"),
        ("=3", r"=3: Config group override must be a string"),
        ("seed=[1", r"^seed=\[1: no viable alternative .*; quote it"),
        ("grpo_vstar", r"no setting with a value; did you mean experiment=grpo_vstar\?"),
        ("plan.passes", r"no setting with a value; plan\.passes=VALUE gives"),
        ("debgu=fast", r"no setting debgu; did you mean debug=\.\.\.\? \(--help debug lists"),
        ("algorithm=grop", r"did you mean algorithm=grpo\? --help algorithm lists all \d+$"),
        ("reward=[curiosity,turs]", r"no reward=turs; did you mean reward=turns\?"),
        ("colour=red", r"no setting colour; none is like it \(\+colour=\.\.\. would add it\)"),
        ("experiment=grpo_vstr", r"no experiment=grpo_vstr; did you mean experiment=grpo_vstar\?"),
        ("scale=huge", r"no scale=huge; The choices are full, .*qwen2_5_vl_3b"),
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


@pytest.mark.parametrize(
    ("command", "experiment", "right"),
    [
        ("train", "mcts_vstar", "python -m vigorl.synthesize experiment=mcts_vstar"),
        ("train", "eval_vstar", "python -m vigorl.evaluate experiment=eval_vstar"),
        ("evaluate", "mcts_vstar", "python -m vigorl.synthesize experiment=mcts_vstar"),
        ("synthesize", "grpo_vstar", "python -m vigorl.train experiment=grpo_vstar"),
    ],
)
def test_an_experiment_of_another_command_is_refused_with_the_right_one(
    command: str, experiment: str, right: str
) -> None:
    words = [f"experiment={experiment}", "name=mine"]
    cfg = check_overrides(command, words)
    with pytest.raises(ConfigError, match=f"not for vigorl.{command}: {right}"):
        refuse_other_door(cfg, command, words)
    refuse_other_door(cfg, right.split()[2].partition(".")[2], words)


def test_every_experiment_says_its_commands() -> None:
    for path in Path(CONFIGS, "experiment").glob("*.yaml"):
        first = yaml.safe_load(path.read_text())["doors"][0]
        assert f"python -m vigorl.{first} experiment={path.stem}" in path.read_text()


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
    ("error", "words", "code", "line"),
    [
        (None, ["sede=1"], 2, "error: there is no setting sede"),
        (None, ["--hlep"], 2, "error: there is no flag --hlep; did you mean --help?"),
        (None, ["--cfg", "jbo"], 2, "error: argument --cfg/-c: invalid choice"),
        (None, ["-m", "sede=0,1"], 2, "error: there is no setting sede"),
        (None, ["-m", "seed=0,1.5"], 2, "error: seed must be a whole number"),
        (None, ["--cfg", "job", "sede=1"], 2, "error: there is no setting sede"),
        (ConfigError("paths.run is odd"), [], 1, "error: paths.run is odd"),
        (ConfigError("odd:\n  a: 1\n  b: 2\nmend it"), [], 1, "error: odd: a: 1; b: 2; mend it"),
        (ValidationError("no key a"), [], 1, "error: no key a (HYDRA_FULL_ERROR=1 shows"),
    ],
)
def test_a_wrong_setting_ends_in_one_line(
    error: Exception | None,
    words: list[str],
    code: int,
    line: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit) as caught:
        run(error, *words, monkeypatch=monkeypatch)
    assert caught.value.code == code
    (said,) = capsys.readouterr().err.splitlines()
    assert said.startswith(line)


@pytest.mark.parametrize(
    "said",
    [
        "seed=1.5",
        "experiment=mcts_vstar",
        "env.prompt.answer=5",
        "experiment=sft_vstar max_epochs=1",
        "kl_coef=0.1 experiment=sft_from_mcts data.path=x",
    ],
)
def test_settings_are_refused_before_the_task_begins(
    said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        run(None, *said.split(), monkeypatch=monkeypatch)
    out, err = capsys.readouterr()
    assert (out, len(err.splitlines())) == ("", 1)


def test_a_resumed_run_has_groups_of_its_own(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run(None, "resume=x", "sft.lr=1e-3", monkeypatch=monkeypatch)  # of another experiment
    assert capsys.readouterr().out == "seed 0\n"


def test_what_hydra_and_ours_raise_in_a_constructor_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for target, line in (
        ("vigorl.search.forest.Budget", "error: budget.max_tokens must be above 0 or null"),
        ("builtins.int", "error: Error in call to target"),
    ):
        with pytest.raises(SystemExit), refusals():
            instantiate({"_target_": target, "max_tokens": 0})
        (said,) = capsys.readouterr().err.splitlines()
        assert said.startswith(line)


def test_the_whole_trace_is_shown_where_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    with pytest.raises(ConfigError, match="is odd"):
        run(ConfigError("paths.run is odd"), monkeypatch=monkeypatch)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("export", ("checkpoint=a.ckpt", "folder=b")),
        ("evaluate", ("benchmark=vstar", "data.root=a")),
        ("synthesize", ("experiment=mcts_vstar",)),
        ("train", ("experiment=grpo_vstar",)),
    ],
)
def test_an_ordinary_command_line_of_each_door_is_taken(name: str, words: tuple[str, ...]) -> None:
    assert _check_command_line(name, words) is not None


@pytest.mark.parametrize(
    ("words", "door_of_it"),
    [
        (["benchmark=vstar"], "evaluate"),
        (["limit=3", "benchmark=[vstar,blink]"], "evaluate"),
        (["experiment=eval_vstar"], "evaluate"),
        (["experiment=grpo_vstar"], None),
        (["seed=1"], None),
        (["--config-name", "evaluate", "benchmark=vstar"], None),
    ],
)
def test_the_doctor_takes_what_is_evaluated(words: list[str], door_of_it: str | None) -> None:
    found = at_its_door(words)
    assert found[:2] == ["--config-name", door_of_it] if door_of_it else found == words
    assert "benchmark=[vstar,blink]" not in found  # Hydra would merge the two


def test_every_value_of_a_sweep_is_looked_at_once() -> None:
    words = ["seed=0,1", "scale=tiny", "kl_coef=interval(0,1)", "num_phases=range(1,4)"]
    assert one_value_each(words) == [
        ["seed=0", "scale=tiny", "num_phases=1"],
        ["seed=1", "scale=tiny", "num_phases=1"],
        ["seed=0", "scale=tiny", "num_phases=2"],
        ["seed=0", "scale=tiny", "num_phases=3"],
    ]


def test_what_only_suites_begin_with_is_no_choice() -> None:
    with pytest.raises(ConfigError, match=r"did you mean benchmark=vstar\?") as caught:
        check_overrides("evaluate", ["benchmark=vstr"])
    assert "_suite" not in str(caught.value)


@pytest.mark.parametrize(
    ("said", "read"),
    [
        ("a=1 -m b=2 ~c", "a=1 b=2 ~c -m"),
        ("-m a=1 b=2", "-m a=1 b=2"),
        ("a=1 --config-dir own b=2", "a=1 b=2 --config-dir own"),
        ("--help algorithm", "--help algorithm"),
    ],
)
def test_settings_on_both_sides_of_a_flag_are_settings(said: str, read: str) -> None:
    assert in_a_row(said.split()) == read.split()
