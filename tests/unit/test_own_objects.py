"""Objects of a program, through configs and back."""

from __future__ import annotations

import copy
import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hydra.errors import InstantiationException
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from vigorl.core.errors import ConfigError
from vigorl.core.rewards import AccuracyReward, FormatReward, WeightedReward
from vigorl.core.rollout import Rollout
from vigorl.core.scoring import YesNo
from vigorl.own_objects import OwnObject, as_reward, lost_objects, objects_in, place
from vigorl.run_folder import read_settings, write_settings
from vigorl.run_settings import changed_settings
from vigorl.settings import check_values


def brief(rollout: Rollout) -> float:
    return 1.0 / len(rollout.turns)


@dataclass(frozen=True)
class Brief:
    most: int = 2
    name: str = "brief"
    range: tuple[float, float] = (0.0, 1.0)

    def __call__(self, rollout: Rollout) -> float:
        return float(len(rollout.turns) <= self.most)


@dataclass(frozen=True)
class Clip:
    """An algorithm, as far as a config knows one."""

    clip_low: float = 0.1
    credit: Any = None
    loss: Any = None


def settings() -> DictConfig:
    return OmegaConf.create(
        {
            "paths": {"run": "x"},
            "model": {},
            "reward": {"_target_": "vigorl.core.rewards.AccuracyReward", "name": "old"},
            "algorithm": {"_target_": "some.GRPO", "clip_low": 0.2, "clip_high": 0.3},
            "module": {"algorithm": "${algorithm}"},
            "data": {"path": "???", "seed": 3},
            "probes": {},
        }
    )


def test_an_object_comes_back_as_it_is_also_from_a_copy() -> None:
    reward = WeightedReward("mine", [(AccuracyReward(), 1.0)])
    cfg = copy.deepcopy(place(settings(), {"reward": reward}))
    assert instantiate(cfg.reward) is reward
    assert list(objects_in(cfg)) == ["reward"]
    check_values(cfg)  # a key of it would be refused as a reward's


def test_a_class_of_an_algorithm_keeps_the_settings_that_it_takes() -> None:
    cfg = place(settings(), {"algorithm": Clip})
    assert instantiate(cfg.module).algorithm == Clip(clip_low=0.2)  # through the interpolation


def test_rows_stand_in_the_place_of_a_path() -> None:
    rows = [{"question": "?"}]
    cfg = place(settings(), {"data": rows})
    assert instantiate(cfg.data, _target_="builtins.dict")["path"] is rows
    assert cfg.data.seed == 3


def test_a_folder_keeps_the_text_and_says_that_it_is_no_object(tmp_path: Path) -> None:
    path, cfg = tmp_path / "config.yaml", place(settings(), {"reward": brief, "data": [{}]})
    write_settings(path, cfg)
    kept = read_settings(path)
    assert kept["reward"]["object"] == f"{__name__}.brief"
    assert changed_settings(kept, cfg) == {}
    with pytest.raises(InstantiationException, match=r"brief was an object of a Python program"):
        instantiate(kept["reward"])


def test_a_run_does_not_go_on_without_its_objects() -> None:
    had = objects_in(place(settings(), {"reward": brief}))
    place_again = place(settings(), {"reward": brief})
    lost_objects(place_again, had, said=[], folder="run")
    lost_objects(settings(), had, said=["reward=grounded_zoom"], folder="run")
    with pytest.raises(ConfigError, match=r"reward was an object .*resume='run'"):
        lost_objects(settings(), had, said=["reward2=x"], folder="run")


def test_a_run_does_not_go_on_with_an_object_of_another_class() -> None:
    had = objects_in(place(settings(), {"reward": [(AccuracyReward(), 1), (Brief(), 0.2)]}))
    same = place(settings(), {"reward": [(AccuracyReward(), 1), (Brief(most=3), 0.5)]})
    lost_objects(same, had, said=[], folder="run")
    for other in (brief, [(AccuracyReward(), 1), (FormatReward(), 0.2)]):
        with pytest.raises(
            ConfigError, match=r"reward was 1 x .* in run, and is .* the same class"
        ):
            lost_objects(place(settings(), {"reward": other}), had, said=[], folder="run")


def test_a_scorer_stands_in_the_data_unless_these_name_their_own() -> None:
    cfg = settings()
    cfg.data.scorer = None
    assert instantiate(place(cfg, {"scorer": YesNo, "data": [{}]}).data.scorer) == YesNo()
    with pytest.raises(ConfigError, match=r"scorer=.* has no effect: these data name their own"):
        place(settings(), {"scorer": YesNo})
    with pytest.raises(ConfigError, match=r"is no scorer; examples/my_benchmark\.py has one"):
        place(cfg, {"scorer": Clip})


@pytest.mark.parametrize(
    ("given", "parts"),
    [
        (brief, {"brief": 1.0}),
        (FormatReward, {"format": 1.0}),
        ([(AccuracyReward(), 1.0), (brief, 0.2)], {"accuracy": 1.0, "brief": 0.2}),
    ],
)
def test_what_is_paid(given: Any, parts: dict[str, float]) -> None:
    assert {part.name: weight for part, weight in as_reward(given).parts} == parts


@pytest.mark.parametrize(
    ("kind", "value", "why"),
    [
        ("reward", 3, "reward=3 must be|builtins.int is no reward"),
        ("tool", brief, "brief is no tool; examples/my_tool.py has"),
        ("probe", Clip, "Clip is no probe"),
        ("algorithm", brief, "brief is no algorithm"),
    ],
)
def test_what_is_nothing_of_the_kind_is_refused(kind: str, value: Any, why: str) -> None:
    with pytest.raises(ConfigError, match=why):
        place(settings(), {kind: value})


def test_pickled_it_is_the_same_text_and_object() -> None:
    own = pickle.loads(pickle.dumps(OwnObject({"a": 1}, "mine")))
    assert (str(own), own.value) == ("mine", {"a": 1})


def test_pairs_are_named_by_their_rewards() -> None:
    placed = place(settings(), {"reward": [(FormatReward, 0.5), (brief, 1)]})
    assert objects_in(placed)["reward"].startswith("0.5 x vigorl.core.rewards.")
    assert objects_in(placed)["reward"].endswith(".brief")
