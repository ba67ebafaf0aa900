"""`import vigorl` and what it refuses; a whole run is examples/train_from_python.py's."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig

import vigorl
from vigorl.api import Config, config_for, inside
from vigorl.core.metrics_file import MetricsLine, append_metrics
from vigorl.resolvers import CONFIGS
from vigorl.results import Series, TrainingRun, logged_metrics


@pytest.fixture(scope="module")
def config() -> Config:
    return vigorl.compose("grpo_vstar", "num_phases=3", "num_phases=5", data=[{"a": 1}])


def test_an_import_imports_nothing_heavy() -> None:
    heavy = "{'torch', 'hydra', 'PIL', 'transformers'}"
    code = f"import sys, vigorl; dir(vigorl); print({heavy} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


def test_settings_of_a_command_line_with_objects_the_last_word_holds(config: Config) -> None:
    assert config.door == "train"
    assert config["num_phases"] == 5
    assert config["data._target_"] == "vigorl.data.own_table.OwnTable"
    assert "1 rows of a list" in str(config)
    with pytest.raises(vigorl.ConfigError, match="there is no setting"):
        config["plan.gruop_size"]


@pytest.mark.parametrize(
    ("words", "objects", "why"),
    [
        (["plan.gruop_size=4"], {}, "did you mean plan.group_size"),
        (["num_phases=-1"], {}, "num_phases must be"),
        (["door"], {}, "door"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(
    words: list[str], objects: dict[str, object], why: str
) -> None:
    with pytest.raises(vigorl.ConfigError, match=why) as caught:
        vigorl.compose("grpo_vstar", *words, **objects)
    assert "\n" not in str(caught.value)


def test_what_went_wrong_is_said_in_a_programs_words(tmp_path: Path) -> None:
    with pytest.raises(
        vigorl.ConfigError, match=r'vigorl\.synthesize\(vigorl\.compose\("mcts_vstar"'
    ):
        vigorl.compose("mcts_vstar", door="train")
    with pytest.raises(vigorl.ConfigError, match=r"^config_dir='.*gone': there is no such folder"):
        vigorl.compose("grpo_vstar", config_dir=tmp_path / "gone")
    with pytest.raises(
        vigorl.ConfigError, match=r"python -m vigorl\.train --help reward lists all"
    ):
        vigorl.compose("grpo_vstar", "reward=accurate_one")


def test_a_runs_own_yamls_are_its_evaluations_too(tmp_path: Path) -> None:
    (tmp_path / "reward").mkdir()
    shipped = Path(CONFIGS) / "reward" / "grounded_zoom.yaml"
    (tmp_path / "reward" / "mine.yaml").write_text(shipped.read_text(encoding="utf-8"))
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").touch()
    (tmp_path / "run.json").write_text(
        '{"format": 2, "mlflow_run_id": null, '
        '"overrides": ["experiment=grpo_vstar", "reward=mine"]}'
    )
    run = vigorl.open_run(tmp_path, config_dir=tmp_path)
    assert config_for(run, "evaluate").config_dir == str(tmp_path)
    with pytest.raises(vigorl.ConfigError, match="there is no reward=mine"):
        config_for(vigorl.open_run(tmp_path), "evaluate")
    with pytest.raises(vigorl.ConfigError, match=r"config_dir=.*no such folder"):
        vigorl.open_run(tmp_path, config_dir=tmp_path / "gone")


def test_a_run_is_asked_its_own_questions_unless_others_are_named(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").touch()
    (tmp_path / "run.json").write_text('{"format": 2, "mlflow_run_id": null, "overrides": []}')
    own = ("data=my_file", "scorer@data.scorer=number", "data.box_form=xyxy")
    run = TrainingRun(tmp_path, ("experiment=grpo_vstar", *own), {"data": [{"a": 1}]})
    asked = config_for(run, "evaluate")
    assert asked["data.scorer._target_"].endswith("NumberMatch")
    assert asked.objects == run.objects
    other = config_for(run, "evaluate", ["benchmark=vstar", "data.root=/there"])
    assert other["data._target_"].endswith("VStarBench")
    assert "path" not in other["data"]
    assert not other.objects
    with pytest.raises(vigorl.ConfigError, match="rewrd is no kind of object"):
        vigorl.open_run(tmp_path, rewrd=abs)


def test_a_run_is_asked_with_its_own_tools_and_markup(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").touch()
    (tmp_path / "run.json").write_text('{"format": 2, "mlflow_run_id": null, "overrides": []}')
    own = ("env=visual_search_tools", "tools=[zoom_box]", "markup=xml")
    run = TrainingRun(tmp_path, ("experiment=grpo_vstar", *own), {})
    asked = config_for(run, "evaluate")
    assert asked["env.tools"][0]["_target_"].endswith("ZoomBox")
    assert asked["env.markup._target_"].endswith("XmlMarkup")


def test_objects_without_effect_are_refused() -> None:
    with pytest.raises(vigorl.ConfigError, match=r"reward has no effect on vigorl\.synthesize"):
        vigorl.compose("mcts_vstar", reward=abs)


def test_a_config_of_another_door_is_refused(config: Config) -> None:
    with pytest.raises(vigorl.ConfigError, match=r"vigorl\.synthesize takes what"):
        vigorl.synthesize(config)


def test_an_interrupt_says_how_to_go_on_and_hydra_is_as_before(config: Config) -> None:
    state, handler = HydraConfig.instance(), signal.getsignal(signal.SIGINT)
    before = state.cfg

    def interrupted() -> None:
        with inside(config, "train"):
            assert HydraConfig.get().job.config_name == "train"
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt, match=r"vigorl\.train\(cfg, resume="):
        interrupted()
    assert state.cfg is before
    assert not GlobalHydra.instance().is_initialized()
    assert signal.getsignal(signal.SIGINT) is handler


def test_doors_are_modules_and_can_be_called() -> None:
    import vigorl.train as module

    assert vigorl.train is module
    with pytest.raises(vigorl.ConfigError, match=r"vigorl\.train takes what vigorl\.compose"):
        vigorl.train(3)  # pyright: ignore[reportArgumentType]


class Client:
    """As much of MLflow's as is asked."""

    def __init__(self, uri: str) -> None:
        assert uri == "http://there"

    def get_run(self, run_id: str) -> SimpleNamespace:
        return SimpleNamespace(data=SimpleNamespace(metrics={"a": 3.0}))

    def get_metric_history(self, run_id: str, name: str) -> list[SimpleNamespace]:
        points = ((0, 1.0), (1, 2.0), (1, 3.0))
        return [SimpleNamespace(step=step, value=value) for step, value in points]


def test_metrics_by_name_of_repeated_steps_the_last(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vigorl.results.MlflowClient", Client)
    metrics = logged_metrics("http://there", "1")
    assert (metrics["a"].steps, metrics["a"].values, metrics["a"].last) == ((0, 1), (1.0, 3.0), 3.0)
    assert metrics.frame()["a"].tolist() == [1.0, 3.0]


def test_a_run_that_has_left_nothing_says_so(tmp_path: Path) -> None:
    with pytest.raises(vigorl.ConfigError, match=r"has no run\.json"):
        vigorl.open_run(tmp_path)
    (tmp_path / "run.json").write_text('{"format": 2, "mlflow_run_id": null, "overrides": []}')
    run = vigorl.open_run(tmp_path)
    assert isinstance(run, TrainingRun)
    for what, why in (
        (lambda: run.model, "has no model yet"),
        (run.rollouts, "recorded: none"),
    ):
        with pytest.raises(vigorl.ConfigError, match=why):
            what()
    assert dict(run.metrics) == {}
    line = MetricsLine("train", 1.0, 4, {"reward/total": 0.5})
    append_metrics(tmp_path / "metrics.jsonl", line)
    assert run.metrics["reward/total"] == Series((4,), (0.5,))


def test_the_last_stage_is_the_one_that_ended_last(tmp_path: Path) -> None:
    for time, name in enumerate(("second", "first"), start=1):  # run.json is written on each resume
        (tmp_path / name / "model").mkdir(parents=True)
        (tmp_path / name / "run.json").touch()
        os.utime(tmp_path / name / "run.json", (time, time))
        (tmp_path / name / "model" / "config.json").touch()
        os.utime(tmp_path / name / "model" / "config.json", (-time, -time))
    assert [one.name for one in TrainingRun(tmp_path).stages] == ["first", "second"]


def test_what_only_a_command_does_is_refused(tmp_path: Path) -> None:
    with pytest.raises(vigorl.ConfigError, match="dry_run=true has an effect on python"):
        vigorl.train(vigorl.compose("grpo_vstar", "dry_run=true"))
    with pytest.raises(vigorl.ConfigError, match=r"rescore=\.\.\. has an effect on python"):
        vigorl.evaluate("tiny_start", f"rescore={tmp_path}")
