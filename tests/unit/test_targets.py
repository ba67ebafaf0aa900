from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from vigorl.core.errors import ConfigError
from vigorl.targets import check_targets, is_trusted, key_paths, nearest

KNOWN = ["plan", "plan.group_size", "plan.passes", "optimizer.lr", "seed"]
OPTIMIZER = "vigorl.training.policy_module.OptimizerSettings"


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("plan.group_sise", "plan.group_size"),
        ("group_size", "plan.group_size"),  # at another place
        ("model.lr", "optimizer.lr"),
        ("sede", "seed"),
        ("colour", None),
    ],
)
def test_the_nearest_name_is_found_by_its_whole_or_its_end(said: str, meant: str | None) -> None:
    assert nearest(said, KNOWN) == meant


def test_every_key_of_nested_settings_has_a_path() -> None:
    assert key_paths({"a": {"b": 1, "c": {"d": [2]}}, "e": None}) == [
        "a",
        "a.b",
        "a.c",
        "a.c.d",
        "e",
    ]


@pytest.mark.parametrize(
    ("node", "message"),
    [
        (
            {"_target_": OPTIMIZER, "lrr": 1},
            r"^x\.0\.lrr: .*; did you mean x\.0\.lr\?",
        ),
        ({"_target_": OPTIMIZER, "colour": 1}, r"it takes \[.*'lr'.*\]"),
        ({"_target_": OPTIMIZER + "s"}, r"^x\.0\._target_: there is no vigorl"),
        ({"_target_": "gone.Reward"}, r"^x\.0\._target_: there is no module gone for gone\.Reward"),
    ],
)
def test_a_key_that_the_target_does_not_take_is_refused(node: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        check_targets({"x": [node]})


@pytest.mark.parametrize(
    ("node", "message"),
    [
        ({"_target_": "lightning.Trainer", "min_epochs": "maybe"}, r"^x\.0\.min_epochs must be "),
        ({"_target_": OPTIMIZER, "lr": "much"}, r"^x\.0\.lr must be float, got 'much'"),
        (
            {"_target_": "vigorl.training.plan.PhasePlan", "passes": 1.5},
            r"passes must be int, got 1",
        ),
    ],
)
def test_a_value_of_another_type_than_the_signatures_is_refused(
    node: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        check_targets({"x": [node]})


def test_what_takes_anything_or_is_not_installed_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    check_targets({"_target_": "builtins.dict", "anything": 1})
    (tmp_path / "a_plugin.py").write_text("import a_package_of_nobody")
    monkeypatch.syspath_prepend(tmp_path)
    check_targets({"_target_": "a_plugin.Engine", "size": 1})


@pytest.mark.parametrize(
    ("target", "is_fine"),
    [
        ("vigorl.core.rewards.recipes.grounded_zoom_reward", True),
        ("vigorl.rollout.engines.hf.HFEngine.from_pretrained", True),
        ("lightning.Trainer", True),
        ("my_own.rewards.Mine", True),
        ("my_own2.rewards.Mine", False),
        ("os.system", False),
        ("vigorl.build.os.system", False),  # what a module of ours has imported
        ("vigorl.build.instantiate", False),
        ("vigorl.train.train", False),  # a door
        ("vigorl.families.lookup.import_plugins", False),
        ("vigorl.callbacks.checkpoint._remove", False),
        (["os.system"], False),
    ],
)
def test_what_a_runs_folder_may_name(target: object, is_fine: bool) -> None:
    assert is_trusted(target, plugins=["my_own"]) is is_fine


def test_a_setting_without_meaning_is_refused_with_the_reason_of_the_target() -> None:
    node = {"_target_": "vigorl.training.algorithms.sapo.SAPO", "dual_clip": 3.0}
    with pytest.raises(
        ConfigError, match=r"^algorithm\.dual_clip has no meaning with SAPO: the ga"
    ):
        check_targets({"algorithm": node})
