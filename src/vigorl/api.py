"""The doors for programs and notebooks: `import vigorl` gives these functions.

    cfg = vigorl.compose("grpo_vstar", "num_phases=5", reward=my_reward)
    run = vigorl.train(cfg)
    run.metrics["reward/total"].values, run.rollouts(4), run.model.path
    vigorl.evaluate(run, "limit=100").accuracy

They are the code behind `python -m vigorl.train` and its like, and take the same settings; beside
them a program's own objects, as they are. What goes wrong is raised, as errors of `vigorl` in one
line; nothing here ends the process.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from vigorl.core.errors import ConfigError
from vigorl.door import as_suite, check_overrides, refuse_other_door
from vigorl.machine_faults import told_in_one_line
from vigorl.own_objects import KINDS, as_texts, place
from vigorl.python_words import own_errors
from vigorl.resolvers import CONFIGS, register_resolvers
from vigorl.settings import check_values, refuse_missing
from vigorl.settings.reach import refuse_outdone
from vigorl.stopping import folder_of, interruptible
from vigorl.targets import check_foreign_overrides

if TYPE_CHECKING:
    from vigorl.results import Evaluation, Model, Synthesis, TrainingRun

# what a training's evaluation has in common with it
_SHARED = (
    "experiment", "scale", "env", "tools", "markup", "data", "reward", "model", "pixels", "zoom",
    "limits", "engine", "engine_limits", "brief_prompts", "plugins", "num_threads", "logger",
    "paths", "trainer",
)  # fmt: skip
_ABSENT = object()
_NOT_SHARED = ("model.path", "model.maker", "paths.base", "paths.run")
_TAKEN = {  # by door, the objects that reach something
    "train": KINDS,
    "evaluate": ("reward", "tool", "probe", "scorer", "data"),
    "synthesize": ("tool", "scorer", "data"),
}


@dataclass(frozen=True)
class Config:
    """Settings, checked, and the objects among them; it does not change.

    Attributes:
        door: "train", "evaluate" or "synthesize".
        overrides: What was said, as on a command line.
        objects: Those of the program, by what they are.
        settings: All of it, composed.
        config_dir: A folder of YAMLs of one's own, as `--config-dir` takes.
    """

    door: str
    overrides: tuple[str, ...]
    objects: Mapping[str, Any] = field(repr=False)
    settings: DictConfig = field(repr=False)
    config_dir: str | None = None

    def __getitem__(self, key: str) -> Any:
        """A value by its key, such as `cfg["plan.group_size"]`.

        Raises:
            ConfigError: There is no such key.
        """
        with own_errors():
            found = OmegaConf.select(self.settings, key, default=_ABSENT)
        if found is _ABSENT:
            raise ConfigError(f"there is no setting {key}")
        return found

    def override(self, *overrides: str, **objects: Any) -> Config:
        """Another config, with more said: `cfg.override("seed=1")`."""
        return _composed(
            self.door, [*self.overrides, *overrides], {**self.objects, **objects}, self.config_dir
        )

    def __str__(self) -> str:
        """As YAML, resolved."""
        return OmegaConf.to_yaml(as_texts(OmegaConf.to_container(self.settings, resolve=True)))


def compose(
    experiment: str,
    *overrides: str,
    reward: Any = None,
    tool: Any = None,
    algorithm: Any = None,
    probe: Any = None,
    scorer: Any = None,
    data: Any = None,
    door: str | None = None,
    config_dir: str | os.PathLike[str] | None = None,
) -> Config:
    """Settings, as a command line would give them, with a program's own objects.

    Args:
        experiment: A name of configs/experiment, such as "grpo_vstar".
        overrides: As on a command line, such as "num_phases=5" or "scale=qwen2_5_vl_7b".
        reward: In place of the experiment's: a `WeightedReward`; or another reward, or a function
            of a rollout, which then is all that is paid; or pairs (reward, weight).
        tool: In place of the env's: one or a list.
        algorithm: An object; or a class, which is given what it takes of the YAML's settings.
        probe: Beside those chosen: one, or several by name.
        scorer: In place of the data's, for questions without options.
        data: Rows to ask about: a list of dicts, a Hugging Face `Dataset`, or a dict of these by
            split; a file of them (docs/your_data.md); or a `DataSource`.
        door: "train", "evaluate" or "synthesize"; the experiment's own when None.
        config_dir: Holds groups of your own YAMLs, as `--config-dir`.
    Raises:
        ConfigError: A setting is unknown, of a wrong value or without effect; names the key.
    """
    given = {"reward": reward, "tool": tool, "algorithm": algorithm, "probe": probe}
    given |= {"scorer": scorer, "data": data}
    objects = {kind: value for kind, value in given.items() if value is not None}
    own = None if config_dir is None else os.fspath(config_dir)
    door = door or next(iter(_doors(experiment, own)), "train")
    return _composed(door, [f"experiment={experiment}", *overrides], objects, own)


def train(cfg: Config, *, resume: str | os.PathLike[str] | None = None) -> TrainingRun:
    """Train, to the end.

    Args:
        cfg: See `compose`.
        resume: Folder of a run to go on with, by its own settings and what `cfg` says otherwise;
            objects that it had have to be in `cfg` again.
    Raises:
        VigorlError: In one line; what was done until then is kept.
        KeyboardInterrupt: Interrupted; says how to go on.
    """
    from vigorl.results import TrainingRun  # torch takes seconds
    from vigorl.train import stages_to_do
    from vigorl.train import train as run_stages

    with inside(cfg, "train", resume, lambda: stages_to_do) as settings:
        if settings.dry_run:
            raise ConfigError("dry_run=true has an effect on python -m vigorl.train alone")
        before = TrainingRun.of_folder(_folder(settings), {}).overrides if settings.resume else ()
        run_stages(settings)
    said = _last_said([*before, *cfg.overrides])
    return TrainingRun(_folder(settings), tuple(said), cfg.objects, cfg.config_dir)


def evaluate(
    model: Config | TrainingRun | Model | str | os.PathLike[str],
    *overrides: str,
    reward: Any = None,
    tool: Any = None,
    probe: Any = None,
    scorer: Any = None,
    data: Any = None,
) -> Evaluation:
    """Answer the test questions greedily, and judge the answers.

    Args:
        model: A run, which is asked what it was trained on, with its objects; a model's folder or
            its name on the hub, by experiment=eval_vstar unless `overrides` say another; or a
            config of this door.
        overrides: Such as "limit=100", or "benchmark=vstar" with "data.root=...".
        reward: See `compose`, as for the others.
        tool: One's own.
        probe: One's own.
        scorer: One's own.
        data: One's own.
    Raises:
        VigorlError: In one line.
    """
    from vigorl.evaluate import run_evaluation  # torch takes seconds
    from vigorl.results import Evaluation
    from vigorl.run_settings import said_of
    from vigorl.suite import shipped_settings
    from vigorl.tracking import in_its_folder

    given = {"reward": reward, "tool": tool, "probe": probe, "scorer": scorer, "data": data}
    objects = {kind: value for kind, value in given.items() if value is not None}
    cfg = config_for(model, "evaluate", overrides, objects)
    with inside(cfg, "evaluate", None, lambda: in_its_folder) as settings:
        if settings.suite:
            raise ConfigError(f"suite={settings.suite}: evaluate its benchmarks one by one")
        if settings.rescore:
            raise ConfigError("rescore=... has an effect on python -m vigorl.evaluate alone")
        report = run_evaluation(settings, shipped_settings(said_of(settings)))
    return Evaluation(_folder(settings), report)


def synthesize(cfg: Config, *, resume: str | os.PathLike[str] | None = None) -> Synthesis:
    """Search a tree of thoughts for each question, and make worked solutions of them.

    Args:
        cfg: Such as `compose("mcts_vstar", "limit=20")`.
        resume: Folder of a search to go on with.
    Raises:
        VigorlError: In one line; the trees until then are kept.
    """
    from vigorl.results import Synthesis  # torch takes seconds
    from vigorl.synthesize import run_synthesis
    from vigorl.tracking import in_its_folder

    with inside(cfg, "synthesize", resume, lambda: in_its_folder) as settings:
        found = run_synthesis(settings)
    return Synthesis(_folder(settings), len(found.records))


def open_run(
    folder: str | os.PathLike[str],
    *,
    config_dir: str | os.PathLike[str] | None = None,
    **objects: Any,
) -> TrainingRun:
    """A training of another day.

    Args:
        folder: Of the run, such as "outputs/grpo_vstar/<date>".
        config_dir: That of your own YAMLs, if it was trained with one.
        objects: Those that it had, needed to evaluate it as it was trained.
    Raises:
        ConfigError: It is no run's folder, or says what could run code that is not vigorl's.
    """
    from vigorl.results import TrainingRun
    from vigorl.run_folder import identity_files

    path = Path(folder)
    if unknown := [kind for kind in objects if kind not in KINDS]:
        raise ConfigError(f"{unknown[0]} is no kind of object: they are {', '.join(KINDS)}")
    own = None if config_dir is None else os.fspath(config_dir)
    if own is not None and not Path(own).is_dir():
        raise ConfigError(f"config_dir={own!r}: there is no such folder")
    run = replace(TrainingRun.of_folder(path, objects), config_dir=own)
    places = [Path(one) for one in (CONFIGS, own) if one]
    groups = [one.name for place in places for one in place.iterdir() if one.is_dir()]
    kept = [one for one in run.overrides if not one.startswith("plugins=")]
    check_foreign_overrides(kept, where=identity_files(path)[0], plugins=(), groups=groups)
    return run


def config_for(
    model: Config | TrainingRun | Model | str | os.PathLike[str],
    door: str,
    overrides: Sequence[str] = (),
    objects: Mapping[str, Any] | None = None,
) -> Config:
    """The settings under which a model is asked, those of its training where they are known."""
    from vigorl.results import TrainingRun

    objects = dict(objects or {})
    if isinstance(model, Config):
        return model.override(*overrides, **objects) if overrides or objects else model
    if not isinstance(model, TrainingRun):
        said = [f"model.path={_quoted(os.fspath(model))}", *overrides]
        if not any(one.startswith("experiment=") for one in said):
            said = ["experiment=eval_vstar", *said]
        return _composed(door, said, objects, None)
    had = {kind: one for kind, one in model.objects.items() if kind in _TAKEN[door]}
    shared = [
        one for one in model.overrides if _room(one) in _SHARED and _key(one) not in _NOT_SHARED
    ]
    if {"data", "benchmark"} & {_key(one) for one in overrides}:  # other questions
        shared = [one for one in shared if _room(one) != "data"]
        had = {kind: one for kind, one in had.items() if kind not in ("data", "scorer")}
    trained = next((one for one in shared if one.startswith("experiment=")), "")
    if door not in _doors(trained.partition("=")[2], model.config_dir):
        shared = ["experiment=eval_vstar", *(one for one in shared if one != trained)]
    elif not any(one.startswith("name=") for one in overrides):
        shared.append(f"name=eval_{trained.partition('=')[2]}")
    said = [*shared, f"model.path={_quoted(str(model.model))}", *overrides]
    return _composed(door, said, {**had, **objects}, model.config_dir)


def _composed(
    door: str, overrides: Sequence[str], objects: Mapping[str, Any], own: str | None
) -> Config:
    """Raises ConfigError: as `compose`."""
    if door not in _TAKEN:
        raise ConfigError(f"door must be one of {', '.join(_TAKEN)}, got {door!r}")
    if useless := [kind for kind in objects if kind not in _TAKEN[door]]:
        raise ConfigError(f"{', '.join(useless)} has no effect on vigorl.{door}")
    register_resolvers()
    said, kept = list(overrides), dict(objects)
    if isinstance(kept.get("data"), str | os.PathLike):
        said += ["data=my_file", f"data.path={_quoted(os.fspath(kept.pop('data')))}"]
    elif "data" in kept and not any(one.startswith("data=") for one in said):
        said.append("data=my_file")  # has a place for rows; a DataSource replaces all of it
    said = _last_said(as_suite(said) if door == "evaluate" else said)
    with own_errors():
        cfg = place(check_overrides(door, said, own_folder=own), kept)
        refuse_other_door(cfg, door, said)
        check_values(cfg)
        refuse_missing(cfg)
        refuse_outdone(cfg, said, door=door)
    return Config(door, tuple(said), kept, cfg, own)


@contextmanager
def inside(
    cfg: Config,
    door: str,
    resume: str | os.PathLike[str] | None = None,
    stages_of: Callable[[], Callable[[DictConfig], Sequence[DictConfig]]] | None = None,
) -> Iterator[DictConfig]:
    """A copy of the settings, inside which all is as behind `python -m vigorl.DOOR`."""
    if not isinstance(cfg, Config) or cfg.door != door:
        raise ConfigError(f"vigorl.{door} takes what vigorl.compose(..., door={door!r}) gives")
    resume = resume or cfg.settings.get("resume")
    said = [one for one in cfg.overrides if one.partition("=")[0] != "resume"]
    said += [f"resume={_quoted(os.fspath(resume))}"] if resume else []
    with own_errors(), _as_command_line(cfg, said):
        settings = copy.deepcopy(cfg.settings)
        if resume and stages_of:
            from vigorl.run_settings import resumed_settings

            OmegaConf.update(settings, "resume", os.fspath(resume))
            objects = cfg.objects
            settings = resumed_settings(
                settings, stages_of(), place=lambda composed: place(composed, objects)
            )
        with told_in_one_line(door, settings), interruptible(door, settings):
            yield settings


@contextmanager
def _as_command_line(cfg: Config, said: Sequence[str]) -> Iterator[None]:
    """Hydra as a door leaves it: what records and resumes a run asks it what was said."""
    own = [f"hydra.searchpath=[{os.path.abspath(cfg.config_dir)!r}]"] if cfg.config_dir else []
    state: Any = HydraConfig.instance()
    before = state.cfg
    with initialize_config_dir(CONFIGS, version_base="1.3"):
        state.set_config(hydra_compose(cfg.door, [*own, *said], return_hydra_config=True))
        try:
            yield
        finally:
            state.cfg = before


def _doors(experiment: str, own: str | None) -> Sequence[str]:
    """Those that an experiment's YAML is for."""
    for folder in (own, CONFIGS):
        path = Path(folder or CONFIGS) / "experiment" / f"{experiment}.yaml"
        if path.is_file():
            return list(DictConfig(OmegaConf.load(path)).get("doors") or ["train"])
    return []


def _last_said(overrides: Sequence[str]) -> list[str]:
    """Hydra refuses a choice that is made twice; here the last one holds."""
    last = {one.partition("=")[0]: one for one in overrides}
    return list(last.values())


def _key(override: str) -> str:
    return override.partition("=")[0].lstrip("+~").partition("@")[0]


def _room(override: str) -> str:
    """Where it has an effect: `scorer@data.scorer=number` in the data."""
    key = override.partition("=")[0].lstrip("+~")
    return (key.partition("@")[2] or key).partition(".")[0]


def _folder(settings: DictConfig) -> Path:
    return Path(str(folder_of(settings)))


def _quoted(path: str) -> str:
    """A path as an override's value; Hydra reads brackets and commas in others."""
    escaped = path.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"
