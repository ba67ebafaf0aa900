"""What an evaluation's command line chooses: one benchmark as it ships, or several.

`benchmark=[vstar,blink]` and a YAML with a `suite` of benchmarks (`benchmark=vigorl_paper`) are
answered one after the other by one engine, each in a folder and an MLflow run of its own below the
suite's. `data.root` then is the folder that holds the downloads. Under a kit's protocol the members
that it does not know are left out, and named.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from hydra import compose
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.utils import get_object, instantiate
from omegaconf import DictConfig, OmegaConf

from vigorl.core.errors import ConfigError
from vigorl.evaluation.benchmarks.benchmark import WHERE, Benchmark
from vigorl.evaluation.protocols.kit import KitJudging
from vigorl.targets import nearest

_OF_SUITE = ("suite", "skip_missing", "benchmark", "resume", "paths", "name")  # not of a member
_OF_ALL = ("data.skip_bad_rows", "data.decode_pictures")  # in configs/benchmark/_suite.yaml
_NOT_CHOSEN = ("env", "data")  # groups that a benchmark itself chooses


@dataclass(frozen=True, slots=True)
class Member:
    """One benchmark of a suite.

    Attributes:
        name: Its YAML's.
        cfg: Its settings, in the folder of its own below the suite's.
        said: The command line that would give them.
    """

    name: str
    cfg: DictConfig
    said: Sequence[str]


@dataclass(frozen=True, slots=True)
class Members:
    """The benchmarks of a suite.

    Attributes:
        asked: Those to evaluate, in order, with one engine that suits them all.
        left_out: The others, and why.
    """

    asked: Sequence[Member]
    left_out: Mapping[str, str]


def members_of(cfg: DictConfig, said: Sequence[str]) -> Members:
    """The benchmarks of a suite that its protocol knows and whose downloads are there.

    Args:
        cfg: Of the suite.
        said: The command line behind it.
    Raises:
        ConfigError: A benchmark is unknown, the protocol knows none of them, or a download is not
            there and `skip_missing` is false; names them all, with the commands that fetch them.
    """
    members = named_members(cfg, said)
    refusals = {one.name: _refusal(one) for one in members}
    left_out = {name: why for name, why in refusals.items() if why}
    if len(left_out) == len(members):
        reasons = "; ".join(f"{name}: {why}" for name, why in left_out.items())
        raise ConfigError(f"this protocol cannot be used for any of the suite ({reasons})")
    members = [one for one in members if one.name not in left_out]
    members, missing = _downloaded(members, skip=cfg.skip_missing, root=str(cfg.data.root))
    return Members(_with_one_engine(members), left_out | missing)


def named_members(cfg: DictConfig, said: Sequence[str]) -> list[Member]:
    """The benchmarks of a suite, downloaded or not.

    Args:
        cfg: Of the suite.
        said: The command line behind it.
    Raises:
        ConfigError: A benchmark is unknown; names the nearest.
    """
    options = GlobalHydra.instance().config_loader().get_group_options("benchmark")
    offered = [one for one in options if not one.startswith("_")]
    for name in cfg.suite:
        if name not in offered:
            meant = nearest(str(name), offered)
            guess = f"did you mean {meant}? " if meant else ""
            raise ConfigError(
                f"there is no benchmark {name!r}; {guess}The choices are {', '.join(offered)}"
            )
    return [_member(str(name), cfg, said) for name in cfg.suite]


def shipped_settings(said: Sequence[str]) -> DictConfig | None:
    """What the groups that a command line chooses would say without its other settings; None where
    no command line was composed.
    """
    if not HydraConfig.initialized():
        return None
    groups = GlobalHydra.instance().config_loader().list_groups("")
    kept = [one for one in said if _key(one) in groups and _key(one) not in _NOT_CHOSEN]
    return compose(str(HydraConfig.get().job.config_name), overrides=kept)


def asked_by(cfg: DictConfig) -> dict[str, Any]:
    """The settings that say what is asked and how; not where it lies, nor what trains."""
    plain: Any = {key: _plain(cfg, key) for key in ("env", "data")}
    for key in ("temperature", "top_p"):
        plain["env"].pop(key, None)
    for key in WHERE:
        plain["data"].pop(key, None)
    return plain | {key: cfg.get(key) for key in ("split", "limit", "samples_per_task")}


def _member(name: str, suite: DictConfig, said: Sequence[str]) -> Member:
    folder = Path(suite.paths.run) / name
    kept = [one for one in said if _key(one).partition(".")[0] not in _OF_SUITE]
    # an experiment may be a suite's
    overrides = [f"benchmark={name}", *map(_of_member, kept), "suite=null"]
    cfg = compose(str(HydraConfig.get().job.config_name), overrides=overrides)
    OmegaConf.update(cfg, "paths", suite.paths, merge=False)
    OmegaConf.update(cfg, "paths.base", str(folder))
    OmegaConf.update(cfg, "paths.run", str(folder))
    if (folder / "run.json").is_file():
        OmegaConf.update(cfg, "resume", str(folder))
    return Member(name, cfg, overrides)


def _with_one_engine(members: Sequence[Member]) -> list[Member]:
    """With room for the pictures of each; said too, so that a member can be gone on with alone."""
    most = max(one.cfg.limits.max_images for one in members)
    made: list[Member] = []
    for one in members:
        said = one.said
        if "max_images" in one.cfg.engine:
            OmegaConf.update(one.cfg, "engine.max_images", most)
            said = [*said, f"engine.max_images={most}"]
        made.append(replace(one, said=said))
    return made


def _refusal(member: Member) -> str:
    """Why the protocol does not know a benchmark; "" where it does."""
    judging = get_object(member.cfg.protocol.judging._target_)
    is_kits = isinstance(judging, type) and issubclass(judging, KitJudging)
    if not is_kits or not (reason := judging.kit.refusal(member.name)):
        return ""
    return f"protocol={judging.kit.name} cannot be used for it: {reason}"


def _of_member(override: str) -> str:
    """The suite's YAML has settings of its data that most members' leave to their classes."""
    return f"++{override.lstrip('+')}" if _key(override) in _OF_ALL else override


def _downloaded(
    members: Sequence[Member], *, skip: bool, root: str
) -> tuple[list[Member], dict[str, str]]:
    """Those that are there, and why the others are left out."""
    sources: list[Benchmark] = [instantiate(one.cfg.data) for one in members]
    pairs = list(zip(members, sources, strict=True))
    kept = [member for member, source in pairs if source.is_downloaded]
    missing = [source for source in sources if not source.is_downloaded]
    if missing and not (skip and kept):
        lines = [
            f"data.root={root!r} holds no folder of these benchmarks; get them into it by",
            *dict.fromkeys(
                f"    {one.download_into(f'{root}/{one.subfolder}')}" for one in missing
            ),
            "or leave them out by skip_missing=true",
        ]
        raise ConfigError("\n".join(lines))
    return kept, {
        one.name: f"not there, and skip_missing=true (get it by {one.download})" for one in missing
    }


def _plain(cfg: DictConfig, key: str) -> dict[str, Any]:
    found: Any = OmegaConf.to_container(OmegaConf.select(cfg, key), resolve=True)
    return found


def _key(override: str) -> str:
    return override.partition("=")[0].lstrip("+~")
