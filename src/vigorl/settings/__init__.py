"""Every setting's type and range in one place, read without torch: `check_values`.

A model here is a group, with the keys of all its choices that vigorl ships. A node whose `_target_`
is code of your own is left to that code, and a value that is absent to whoever needs it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated, Any, Literal, get_args

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import InterpolationToMissingValueError, OmegaConfBaseException
from pydantic import BaseModel, Field, ValidationError

from vigorl.core.errors import ConfigError, VigorlError
from vigorl.core.ranges import AtLeastOne, Count, NotNegative, Positive, Seed, ShareAboveZero
from vigorl.own_objects import is_given
from vigorl.settings.asking import (
    AnswerJudge,
    Asked,
    Budget,
    Chains,
    Check,
    Data,
    Engine,
    Env,
    Faithfulness,
    Guard,
    Inference,
    Probe,
    Reward,
    Search,
    Signal,
    Tool,
)
from vigorl.settings.kinds import (
    AnyText,
    Dtype,
    Flag,
    Group,
    Licence,
    Names,
    Node,
    Shard,
    Text,
    Texts,
    Threads,
    says,
)
from vigorl.settings.kl import KLSchedule
from vigorl.settings.learning import (
    Correction,
    Critic,
    DataModule,
    EarlyStop,
    EngineLimits,
    Entropy,
    Exploration,
    Gaps,
    Guests,
    Limits,
    Model,
    ModuleGroup,
    Near,
    Optimizer,
    Overlap,
    PairLoss,
    Pairs,
    PairSizes,
    Paper,
    Paths,
    PictureSize,
    Plan,
    RolloutGroup,
    Sft,
    SFTMix,
    Tiny,
    Traces,
    Untrained,
    Zoom,
)
from vigorl.settings.running import Callback, Logger, Profile, Stage, Strategy, Trainer
from vigorl.settings.stated import stated_by
from vigorl.settings.together import check_together
from vigorl.targets import nearest

OWN = ("vigorl.", "lightning.")  # the code whose keys are known here


class Callbacks(Group):
    """Those with keys that are like no other's; your own stand beside."""

    __pydantic_extra__: dict[str, Callback]  # pyright: ignore[reportIncompatibleVariableOverride]
    faithfulness: Faithfulness


class Settings(Group):
    """What a door composes, or what a stage changes; a key of your own may stand beside."""

    name: Text
    doors: Texts
    seed: Seed
    resume: Text | None
    dry_run: Flag
    stages: dict[str, StageSettings | None] | None
    stage: Stage
    num_threads: Threads | None
    plugins: Texts
    paths: Paths
    model: Model
    tiny: Tiny
    untrained: Untrained
    pixels: PictureSize
    zoom: Zoom
    limits: Limits
    alignment: Gaps
    engine_limits: EngineLimits
    near: Near
    brief_prompts: Flag
    paper: Paper
    plan: Plan
    pairs: Pairs
    pair_sizes: PairSizes
    optimizer: Optimizer
    sft: Sft
    traces: Traces
    precision: Literal["64-true", "32-true", "16-true", "bf16-true", "16-mixed", "bf16-mixed"]
    num_phases: AtLeastOne
    max_epochs: Count
    reload_every: Count
    accumulate: AtLeastOne
    gradient_clip: Positive | None
    kl_coef: NotNegative
    kl_schedule: KLSchedule | None
    importance_correction: Correction | None
    algorithm: PairLoss
    critic: Critic | None
    critic_lr: ShareAboveZero
    env: Env
    tools: dict[str, Tool]
    data: Data
    reward: Reward
    sampler: Node | None
    groups: Node | None
    entropy: Entropy | None
    guard: Guard | None
    exploration: Exploration | None
    guests: Guests | None
    sft_mix: SFTMix | None
    overlap: Overlap | None
    early_stop: EarlyStop | None
    profile: Profile | None
    probes: dict[str, Probe]
    faithfulness: Faithfulness
    signals: dict[str, Signal]
    engine: Engine
    strategy: Strategy | AnyText
    trainer: Trainer
    logger: Logger
    callbacks: Callbacks
    module: ModuleGroup
    rollout: RolloutGroup | None
    datamodule: DataModule
    # evaluate
    split: Literal["train", "val", "test"]
    samples_per_task: AtLeastOne
    limit: AtLeastOne | None
    shard: Shard | None
    merge: Text | None
    compare_with: Text | None
    protocol: Asked
    judge: AnswerJudge | None
    inference: Inference | None
    rescore: Text | None
    suite: Names | None
    skip_missing: Flag
    # synthesize
    scorer: Node
    trees: Text | None
    max_in_flight: Annotated[int, Field(strict=True, ge=1, le=10**5), says("1 to 100000")]
    budget: Budget
    check: Check | None
    search: Search
    keep: Node | None
    chains: Chains
    # demo
    beside: Text | None
    own_looks: Count
    num_examples: Count
    host: Text
    port: Annotated[int, Field(strict=True, ge=0, le=65535), says("0 (any that is free) to 65535")]
    # serve
    served_as: Text | None
    api_key_env: Text | None
    max_request_bytes: AtLeastOne
    max_pictures: AtLeastOne
    max_picture_pixels: AtLeastOne
    allow_urls: Flag
    # export
    checkpoint: Text | None
    run: Text | None
    folder: Text | None
    dtype: Dtype | None
    push_to: Text | None
    private: Flag
    licence: Licence | None
    evaluations: Texts


class StageSettings(Settings):
    """What a stage changes, with its own words; see `vigorl.settings.stages`."""

    start: Text | None
    repeats: AtLeastOne


def check_values(cfg: DictConfig) -> None:
    """Compare every value with its type and range, and with the others; absent ones are not asked
    for.

    Raises:
        ConfigError: Some are not allowed; one line with their keys, the values, and what is.
    """
    broken: list[str] = []
    targets: dict[str, str] = {}
    plain = _resolved(cfg, broken, targets)
    stated = {path: kind for path, name in targets.items() if (kind := stated_by(name))}
    refused = {
        key: said
        for key, said in _refused_by(Settings, plain)
        if key.rpartition(".")[0] not in stated
    }
    for path, kind in stated.items():
        refused |= _refused_by(kind, _place(plain, path.split("."))[1], path)
    said = [key for key in refused if not _is_borrowed(cfg, key)]
    if found := [refused[key] for key in said or refused]:
        raise ConfigError("; ".join(found))
    if broken:
        raise ConfigError(broken[0])
    check_together(cfg, plain)


def refuse_missing(cfg: DictConfig) -> None:
    """Raises ConfigError where a value is missing that the YAMLs cannot know."""
    if missing := set(_missing(cfg)):
        get = (cfg.get("data") or {}).get("download") if "data.root" in missing else None
        fetch = f"; get the data by\n    {get}" if get else ""
        raise ConfigError(f"set {', '.join(sorted(missing))}: no default can know it{fetch}")


def _missing(node: DictConfig, path: str = "") -> Iterator[str]:
    for key in node:
        at = f"{path}.{key}".lstrip(".")
        if OmegaConf.is_missing(node, key):
            yield at
        elif not OmegaConf.is_interpolation(node, str(key)) and OmegaConf.is_dict(node[key]):
            yield from _missing(node[key], at)


def one_line(error: BaseException) -> str:
    """The first line of its message."""
    return f"{type(error).__name__}: {str(error).strip()}".splitlines()[0]


def _refused_by(kind: type[BaseModel], plain: Any, group: str = "") -> Iterator[tuple[str, str]]:
    """(key, what is wrong with it) of the settings of a group. Of a value that fits none of several
    forms each is named.
    """
    try:
        kind.model_validate(plain)
    except ValidationError as error:
        found = error.errors(include_url=False)
    else:
        return
    for one in found:
        if one["type"] == "missing":
            continue
        key, value = _place(plain, one["loc"])
        key = f"{group}.{key}".strip(".")
        if one["type"] == "extra_forbidden":
            yield key, f"there is no setting {key}{_guess(key)}"
            continue
        allowed = one["msg"].removeprefix("Input should be ").removeprefix("Value error, ")
        if one["type"] in ("model_type", "dict_type", "model_attributes_type"):
            allowed = "a group of settings"
        yield key, f"{key} must be {allowed}, got {value!r}"


def fields_of(group: str) -> list[str]:
    """The known keys of a group, by its path ("" is the top), whether or not its YAML has them."""
    kind: Any = Settings
    for part in group.split(".") if group else []:
        fields = getattr(kind, "model_fields", None)
        kind = (fields[part].annotation if part in fields else None) if fields else kind
        while (inner := get_args(kind)) and kind is not None:  # X | None, list[X], dict[str, X]
            kind = next((one for one in inner if one not in (str, type(None))), None)
    return list(getattr(kind, "model_fields", {}))


def _guess(key: str) -> str:
    group, _, name = key.rpartition(".")
    meant = nearest(name, fields_of(group))
    return f"; did you mean {group}.{meant}?" if meant else ""


def _place(plain: Any, loc: Sequence[int | str]) -> tuple[str, Any]:
    """The key and its value; pydantic's names of a union's members are no part of it."""
    path: list[str] = []
    for part in loc:
        inner: Any = plain
        if isinstance(plain, list):
            inner = {str(number): one for number, one in enumerate(plain)}
        if isinstance(inner, dict) and str(part) in inner:
            plain = inner[str(part)]
            path.append(str(part))
    return ".".join(path), plain


def _is_borrowed(cfg: DictConfig, key: str) -> bool:
    """Whether a value is another setting's, by an interpolation in the YAMLs."""
    node: Any = cfg
    for part in key.split("."):
        if not OmegaConf.is_config(node):
            return False
        place: Any = int(part) if OmegaConf.is_list(node) else part
        if OmegaConf.is_interpolation(node, place):
            return True
        node = None if OmegaConf.is_missing(node, place) else node[place]
    return False


def _resolved(node: Any, broken: list[str], targets: dict[str, str], path: str = "") -> Any:
    """Plain values of a config, without those that are missing, and without the settings of code of
    one's own. What cannot be resolved is noted and left out; `_target_`s are noted by their place.
    """
    if OmegaConf.is_list(node):
        return [
            {} if is_given(node[i]) else _resolved(node[i], broken, targets, f"{path}.{i}")
            for i in range(len(node))
        ]
    if not isinstance(node, DictConfig):
        return node
    plain: dict[str, Any] = {}
    for key in node:
        if OmegaConf.is_missing(node, key) or str(key).startswith("_"):
            continue
        at = f"{path}.{key}".lstrip(".")
        try:
            inner = node[key]
            if not is_given(inner):  # your own code is the judge of itself
                plain[str(key)] = _resolved(inner, broken, targets, at)
        except InterpolationToMissingValueError:
            continue
        except (OmegaConfBaseException, ValueError, TypeError, ArithmeticError) as error:
            if at.startswith("stages."):
                continue  # it may refer to what is the stage's: each stage is compared by itself
            own = error if isinstance(error, VigorlError) else error.__cause__
            broken.append(str(own) if isinstance(own, VigorlError) else f"{at}: {one_line(error)}")
    target = str(node.get("_target_", OWN[0]))
    targets[path] = target
    return plain if target.startswith(OWN) else {}
