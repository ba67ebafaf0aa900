"""A list of stages becomes settings, one after the other."""

from __future__ import annotations

from typing import Any

import pytest
from omegaconf import DictConfig, OmegaConf

from vigorl.build import prepare_process
from vigorl.core.errors import ConfigError
from vigorl.settings.stages import all_stages

prepare_process()
RECORD = {"files": "${vigorl_stage:collect}/rollouts/*.jsonl"}


def run(stages: dict[str, Any], **more: Any) -> DictConfig:
    plain = {
        "name": "run", "seed": 3, "paths": {"base": "/b", "run": "${paths.base}"}, "num_phases": 7,
        "model": {"path": "start"}, "data": {"kind": {"_target_": "A", "a": 1}}, "stages": stages,
    }  # fmt: skip
    return OmegaConf.create({**plain, **more})


def test_each_has_its_name_its_folder_and_what_it_starts_from() -> None:
    first, block = {"num_phases": 2}, {"collect": {"start": "before"}, "rl": {"start": "warm"}}
    last = {"start": "rl", "own": RECORD}
    cfg = run({"warm": first, "turn": {"repeats": 2, "stages": block}, "last": last})
    stages = all_stages(cfg)
    assert [(one.name, one.model.path) for one in stages] == [
        ("run/warm", "start"),
        ("run/turn_1_collect", "/b/warm/model"),
        ("run/turn_1_rl", "/b/warm/model"),
        ("run/turn_2_collect", "/b/turn_1_rl/model"),
        ("run/turn_2_rl", "/b/warm/model"),
        ("run/last", "/b/turn_2_rl/model"),
    ]
    assert stages[-1].own.files == "/b/turn_2_collect/rollouts/*.jsonl"
    assert [one.paths.run for one in stages[:2]] == ["/b/warm", "/b/turn_1_collect"]
    assert [(one.stage.number, one.stage.round) for one in stages[2:4]] == [(3, 1), (4, 2)]
    assert {one.stages for one in stages} == {None}
    assert cfg.stages.turn.repeats == 2  # as it was


def test_a_stage_alone_can_be_repeated_and_one_can_be_left_out() -> None:
    names = [one.name for one in all_stages(run({"a": {"repeats": 2}, "b": None, "c": {}}))]
    assert names == ["run/a_1", "run/a_2", "run/c"]
    assert [one.name for one in all_stages(run({}))] == ["run"]


def test_rounds_draw_their_own_prompts_and_noise() -> None:
    block = {"collect": {}, "rl": {"seed": 5}}
    stages = all_stages(run({"warm": {}, "turn": {"repeats": 3, "stages": block}, "last": {}}))
    assert [one.seed for one in stages] == [3, 3, 5, 10_003, 5, 20_003, 5, 3]


def test_an_untrained_start_is_the_runs_in_every_round_and_is_made_nowhere_else() -> None:
    maker = {"_target_": "make", "folder": "${paths.run}/untrained", "seed": "${seed}"}
    own = {"model": {"maker": {"_target_": "make", "seed": 8}}}
    block = {"base": {}, "on": {"start": "base"}, "drawn": {"seed": 5}, "own": own}
    stages = all_stages(run(
        {"turn": {"repeats": 2, "stages": block}},
        model={"path": "${maker.folder}", "maker": "${maker}"}, maker=maker,
    ))  # fmt: skip
    made = [(one.stage.name, one.model.maker) for one in stages]
    assert [(name, how and how.seed) for name, how in made] == [
        ("turn_1_base", 3), ("turn_1_on", None), ("turn_1_drawn", 3), ("turn_1_own", 8),
        ("turn_2_base", 3), ("turn_2_on", None), ("turn_2_drawn", 3), ("turn_2_own", 8),
    ]  # fmt: skip
    assert made[4][1].folder == stages[4].model.path == "/b/turn_2_base/untrained"
    assert stages[4].seed == 10_003


def test_what_a_value_refers_to_is_the_stages_own_but_for_itself() -> None:
    twice = {"num_phases": "${num_phases}", "max_epochs": "${size}", "size": 3, "name": "${name}_x"}
    (stage,) = all_stages(run({"a": twice}, size=1))
    assert (stage.num_phases, stage.max_epochs, stage.name) == (7, 3, "run_x")


def test_within_a_group_another_class_takes_the_place_of_the_runs() -> None:
    other, same = {"_target_": "B", "b": 2}, {"_target_": "A", "b": 2}
    stages = all_stages(run({"x": {"data": {"kind": other}}, "y": {"data": {"kind": same}}}))
    assert stages[0].data.kind == other
    assert stages[1].data.kind == {"_target_": "A", "a": 1, "b": 2}


@pytest.mark.parametrize(
    ("stages", "line"),
    [
        (
            {"a": {"start": "b"}, "b": {}},
            r"stages\.a\.start must be null or one of before, got 'b'",
        ),
        (
            {"a": {"stages": {"b": {"repeats": 2}}}},
            r"stages\.a\.stages\.b: there is no block withi",
        ),
        ({"a": {"repeats": 2}, "a_1": {}}, r"stages: two of them would be a_1: give one another"),
        ({"a": 3}, r"stages\.a must be a group of settings, got 3"),
        (
            {"a": {"num_phases": 2, "stages": {"b": {}}}},
            r"stages\.a\.num_phases has no effect on a block: .* stages\.a\.stages\.b\.num_phases",
        ),
        ({"a": None}, "stages: all of them are left out"),
    ],
)
def test_lists_without_meaning_are_refused(stages: dict[str, Any], line: str) -> None:
    with pytest.raises(ConfigError, match=f"^{line}"):
        all_stages(run(stages))


def test_a_record_of_a_later_stage_is_refused() -> None:
    (stage,) = all_stages(run({"a": {"own": RECORD}}))
    with pytest.raises(Exception, match="no such stage comes before a; there are none"):
        _ = stage.own.files
