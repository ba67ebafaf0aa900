from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.hydra_config import HydraConfig
from lightning.pytorch.loggers.logger import DummyLogger
from omegaconf import DictConfig, OmegaConf, open_dict

from vigorl import tracking
from vigorl.build import CONFIGS, prepare_process
from vigorl.core.errors import ConfigError
from vigorl.run_folder import check_data, read_settings
from vigorl.run_settings import changed_settings, resumed_settings
from vigorl.tracking import Run, start_run
from vigorl.train import stages_to_do

prepare_process()
BEGUN = ["logger=none", "optimizer.lr=1e-3"]


@pytest.fixture(autouse=True)
def hydra_in_use() -> Iterator[None]:
    with initialize_config_dir(CONFIGS, version_base="1.3"):
        yield
    HydraConfig.instance().cfg = None


def command(*overrides: str) -> DictConfig:
    """The config that a door gets from a command line."""
    cfg = compose("train", list(overrides), return_hydra_config=True)
    HydraConfig.instance().set_config(cfg)
    with open_dict(cfg):
        del cfg["hydra"]
    return cfg


def begun(folder: Path, *overrides: str) -> Path:
    """The folder of a run that has just begun."""
    cfg = command(*BEGUN, f"paths.root={folder}", f"paths.run={folder}/run", *overrides)
    start_run(cfg).record(cfg, None)
    return folder / "run"


def resume(run: Path, *overrides: str) -> DictConfig:
    return resumed_settings(command(f"resume={run}", *overrides), stages_to_do)


def edit(run: Path, key: str, value: object) -> None:
    """As if the run had used another value than the YAMLs give today."""
    used = OmegaConf.load(run / "config.yaml")
    OmegaConf.update(used, key, value)
    OmegaConf.save(used, run / "config.yaml")


def test_a_run_goes_on_with_what_its_command_line_said(tmp_path: Path) -> None:
    cfg = resume(begun(tmp_path))
    assert cfg.optimizer.lr == 1e-3
    assert cfg.resume == str(tmp_path / "run")


@pytest.mark.parametrize("name", ["a=b", "a,b", "[a]", "Öl (1) {x}", "it's 'so'", "50%?"])
def test_a_runs_folder_may_have_any_name(name: str, tmp_path: Path) -> None:
    run = begun(tmp_path).rename(tmp_path / name)
    cfg = command()
    OmegaConf.update(cfg, "resume", str(run))  # as the door takes it, quoted by the user
    cfg = resumed_settings(cfg, stages_to_do)
    assert (cfg.resume, cfg.optimizer.lr) == (str(run), 1e-3)


def test_changed_yamls_are_refused_and_named(tmp_path: Path) -> None:
    run = begun(tmp_path)
    edit(run, "algorithm.clip_high", 0.5)
    edit(run, "plan.passes", 7)
    with pytest.raises(ConfigError, match=r"algorithm\.clip_high: 0\.5 -> 0\.28") as caught:
        resume(run)
    assert "plan.passes: 7 -> 1" in str(caught.value)
    assert str(run / "config.yaml") in str(caught.value)
    with pytest.raises(ConfigError, match=r"algorithm\.clip_high"):
        resume(run, "plan.passes=7")  # one is said, the other still is not


def test_a_key_that_is_there_on_one_side_only_is_named(tmp_path: Path) -> None:
    run = begun(tmp_path)
    used = OmegaConf.load(run / "config.yaml")
    del used.algorithm.clip_low
    OmegaConf.save(used, run / "config.yaml")
    with pytest.raises(ConfigError, match=r"algorithm\.clip_low: \(absent\) -> 0\.2"):
        resume(run)


def test_a_newer_setting_that_is_left_off_changes_nothing(tmp_path: Path) -> None:
    run = begun(tmp_path)
    used = OmegaConf.load(run / "config.yaml")
    del used.model.packing, used.model.lora  # a flag, and what may be null
    OmegaConf.save(used, run / "config.yaml")
    assert changed_settings(read_settings(run / "config.yaml"), resume(run)) == {}


@pytest.mark.parametrize("said", ["algorithm.clip_high=0.5", "algorithm.clip_high=0.6"])
def test_what_the_command_line_says_is_taken(said: str, tmp_path: Path) -> None:
    run = begun(tmp_path)
    edit(run, "algorithm.clip_high", 0.5)
    assert f"algorithm.clip_high={resume(run, said).algorithm.clip_high}" == said


def test_what_follows_from_the_command_line_is_taken(tmp_path: Path) -> None:
    cfg = resume(begun(tmp_path), "num_phases=7", "strategy=ddp")
    assert cfg.trainer.max_epochs == 7


def test_place_threads_and_time_of_day_may_differ(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = begun(tmp_path, "name=at_${now:%f}", "model.path=${paths.run}/model")
    edit(run, "num_threads", 3)
    moved = run.rename(tmp_path / "moved")
    monkeypatch.chdir(tmp_path)
    resume(moved)
    assert resume(Path("moved")).resume == "moved"


def test_what_was_said_is_known_to_a_further_resume(tmp_path: Path) -> None:
    run = begun(tmp_path)
    cfg = resume(run, "optimizer.lr=5e-4", "num_phases=7")
    (cfg,) = stages_to_do(cfg)
    start_run(cfg).record(cfg, None)
    assert OmegaConf.load(run / "config.yaml").trainer.max_epochs == 7
    further = resume(run)
    assert (further.optimizer.lr, further.num_phases) == (5e-4, 7)
    said = json.loads((run / "run.json").read_text())["overrides"]
    assert not any(override.startswith("resume=") for override in said)


def test_stages_are_compared_each_with_its_own(tmp_path: Path) -> None:
    base = ["experiment=sft_vstar", f"paths.base={tmp_path}/base", "logger=none"]
    for stage in stages_to_do(command(*base)):
        start_run(stage).record(stage, None)
    resume(tmp_path / "base")
    edit(tmp_path / "base/speak", "optimizer.lr", 1.0)
    with pytest.raises(ConfigError, match=r"speak/config\.yaml .*\n  optimizer\.lr: 1\.0 -> "):
        resume(tmp_path / "base")
    (tmp_path / "base/speak/model").mkdir()  # done: nothing of it is gone on with
    resume(tmp_path / "base")


def test_a_stage_less_leaves_the_others_compared_each_with_its_own(tmp_path: Path) -> None:
    base = ["experiment=stages_tour", f"paths.base={tmp_path}/base", "logger=none"]
    for stage in stages_to_do(command(*base)):
        start_run(stage).record(stage, None)
    said = ["experiment=stages_tour", "stages.dpo=null", "stages.own.start=sft"]
    cfg = resume(tmp_path / "base", *said)
    assert [one.stage.name for one in stages_to_do(cfg)] == ["sft", "collect", "own", "rl"]
    edit(tmp_path / "base/own", "traces.sequences_per_update", 5)
    with pytest.raises(ConfigError, match=r"own/config\.yaml .*\n  traces\.\w+: 5 -> 16"):
        resume(tmp_path / "base", *said)


def test_an_older_run_says_what_to_do(tmp_path: Path) -> None:
    run = begun(tmp_path)
    (run / "run.json").write_text('{"mlflow_run_id": null}')
    with pytest.raises(
        ConfigError, match=r"run\.json: a run of vigorl 0\.1.* model\.path=.*/model"
    ):
        resume(run)


def test_what_is_no_run_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is not a run's folder"):
        resume(tmp_path)


def rewrite_identity(run: Path, **changed: object) -> None:
    identity = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps(identity | changed))


PAYLOAD = "{_target_:os.mkdir,path:MADE}"


@pytest.mark.parametrize(
    "hostile",
    [
        [f"env.prompt={PAYLOAD}"],
        ["env.prompt._target_=os.mkdir", "+env.prompt.path=MADE"],
        [f"+probes={{x:{PAYLOAD}}}"],
        [f"+stages={{x:{{reward:{PAYLOAD}}}}}"],
        ["name=os.mkdir", "reward._target_=${name}"],
        ['reward=${oc.decode:"{_tar${seed}: os.mkdir}"}'],
        ["plugins=[antigravity]"],
        ["++plugins=[antigravity]"],
        ["hydra.searchpath=[/tmp]"],
        ["experiment=../../tmp/evil"],
        ["reward=/tmp/evil"],
        ["reward={"],
        ["plan.grup_size=4"],
    ],
)
def test_a_foreign_run_runs_no_code(hostile: list[str], tmp_path: Path) -> None:
    run, made = begun(tmp_path), tmp_path / "made"
    said = [one.replace("MADE", str(made)) for one in hostile]
    rewrite_identity(run, overrides=[*BEGUN, *said])
    with pytest.raises(ConfigError, match=r"run\.json: ") as caught:
        resume(run)
    assert "\n" not in str(caught.value)
    assert not made.exists()


def test_what_the_person_names_again_may_run(tmp_path: Path) -> None:
    run = begun(tmp_path, "reward._target_=tests.unit.test_build.told")
    with pytest.raises(ConfigError, match=r"plugins=\[ITS_PACKAGE\]"):
        resume(run)
    resume(run, "plugins=[tests.unit.test_build]")
    resume(run, "reward._target_=tests.unit.test_build.told")


def test_nothing_in_a_foreign_config_is_resolved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, made = begun(tmp_path), tmp_path / "made"
    edit(run, "env.prompt", {"_target_": "os.mkdir", "path": str(made)})
    edit(run, "name", "${vigorl_system:full}")
    with pytest.raises(ConfigError, match="holds other settings"):
        resume(run)
    assert not made.exists()


def test_a_password_is_kept_nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    uri = "https://me:s3cret@host:5000/x"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    run = begun(tmp_path, "+store=${oc.env:MLFLOW_TRACKING_URI}", f"name='{uri}'")
    files = [file.read_text() for file in run.rglob("*") if file.is_file()]
    assert len(files) == 2
    assert not any("s3cret" in text for text in files)
    assert "https://me:***@host:5000/x" in (run / "config.yaml").read_text()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b'{"format": 2, "mlflow_run',
        b"\x80\x04\xff",
        b"[" * 100_000,
        b"[]",
        b'{"format": "2", "mlflow_run_id": null, "overrides": []}',
        b'{"format": 2, "mlflow_run_id": 7, "overrides": []}',
        b'{"format": 2, "mlflow_run_id": null, "overrides": "seed=1"}',
        b'{"format": 2, "mlflow_run_id": null, "overrides": [1]}',
    ],
)
def test_a_damaged_run_json_is_one_line(content: bytes, tmp_path: Path) -> None:
    run = begun(tmp_path)
    (run / "run.json").write_bytes(content)
    with pytest.raises(ConfigError, match=r"run\.json.* begin a new run") as caught:
        resume(run)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"name: x\npat", b"[1", b"\x80\x04\xff", b"- 1"])
def test_a_damaged_config_is_one_line(content: bytes, tmp_path: Path) -> None:
    run = begun(tmp_path)
    (run / "config.yaml").write_bytes(content)
    with pytest.raises(ConfigError, match=r"config\.yaml .* so remove it") as caught:
        resume(run)
    assert "\n" not in str(caught.value)
    (run / "config.yaml").unlink()
    resume(run)


def test_runs_of_the_same_second_have_folders_of_their_own(tmp_path: Path) -> None:
    said = ["logger=none", f"paths.base='{tmp_path}/${{now:noon}}'"]
    folders = []
    for _ in range(3):
        folders.append(start_run(command(*said)).folder.name)
    assert folders == ["noon", "noon_2", "noon_3"]


def test_a_run_that_mlflow_has_lost_is_written_down_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = begun(tmp_path)
    rewrite_identity(run, mlflow_run_id="old")
    monkeypatch.setattr(tracking, "begun_run", lambda _cfg, _id: "new")
    monkeypatch.setattr(tracking, "_logger", lambda *_: DummyLogger())
    (cfg,) = stages_to_do(resume(run))
    assert start_run(cfg).is_new_in_mlflow
    assert json.loads((run / "run.json").read_text())["mlflow_run_id"] == "new"


def test_a_lost_config_is_written_anew_and_mlflow_told_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    class Strict(DummyLogger):
        """Refuses to be told again, as MLflow does where a value is another."""

        def log_hyperparams(self, *_: object, **__: object) -> None:
            raise AssertionError

    run = begun(tmp_path)
    before = (run / "config.yaml").read_text()
    (run / "config.yaml").unlink()
    Run(run, Strict(), is_resumed=True).record(
        command(*BEGUN, f"paths.root={tmp_path}", f"paths.run={run}"), None
    )
    assert len((run / "config.yaml").read_text()) == len(before)  # the clock has gone on
    assert "config.yaml was missing" in caplog.text


def test_outputs_that_cannot_be_written_are_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match=r"paths\.run=.*file/run cannot be made"):
        start_run(command("logger=none", f"paths.run={tmp_path}/file/run"))
    with pytest.raises(ConfigError, match=r"paths\.base=.* cannot be made"):
        start_run(command("logger=none", f"paths.base='{tmp_path}/file/${{now:noon}}'"))


def test_other_data_than_at_the_start_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "data.json"
    check_data(path, {"data/train_tasks": "ab", "data/val_tasks": "cd"}, may_differ=False)
    check_data(path, {"data/val_tasks": "cd", "data/train_tasks": "ab"}, may_differ=False)
    with pytest.raises(ConfigError, match=r"^data/train_tasks: records or pictures are others"):
        check_data(path, {"data/train_tasks": "a!", "data/val_tasks": "cd"}, may_differ=False)
    check_data(path, {"data/train_tasks": "a!"}, may_differ=True)  # as the command line says
    check_data(path, {"data/train_tasks": "a!"}, may_differ=False)
    path.write_text("cut")
    check_data(path, {"data/train_tasks": "a!"}, may_differ=False)
