"""Every YAML that ships: it composes, and says nothing that the code behind it does not take."""

from __future__ import annotations

import ast
import itertools
import sys
import tomllib
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml
from hydra import compose, initialize_config_dir
from hydra.errors import ConfigCompositionException
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from vigorl.build import CONFIGS, assemble, check_settings, needs_reference, prepare_process
from vigorl.core.errors import ConfigError
from vigorl.core.rewards import WeightedReward
from vigorl.core.scoring import Scorer, TextMatch
from vigorl.data.sources.screenspot import read_screenspot_pro, read_screenspot_v2
from vigorl.data.splits import WithTraces
from vigorl.evaluate import asked_by
from vigorl.evaluation.benchmarks.benchmark import Benchmark
from vigorl.evaluation.protocol import changed_settings
from vigorl.models.correction import ImportanceCorrection
from vigorl.rollout.inference.rule import InferenceRule
from vigorl.rollout.limits import RolloutLimits
from vigorl.search.keeping.keep import Keep, KeepByGradient
from vigorl.search.point_check import PointCheck
from vigorl.settings.stages import all_stages
from vigorl.targets import check_targets
from vigorl.training.policy_module import OptimizerSettings
from vigorl.training.samplers.solve_rate import SolveRateSampling

prepare_process()

ROOT = Path(CONFIGS).parent
BUILDERS = sorted(path.stem for path in Path(CONFIGS, "experiment").glob("build_*.yaml"))
SEARCHES = ["mcts_vstar", *BUILDERS]  # of the synthesize door
SUITES_BY_NAME = ["eval_vigorl_paper"]  # their members are composed as benchmarks
EXPERIMENTS = sorted(
    path.stem
    for path in Path(CONFIGS, "experiment").rglob("*.yaml")
    if path.stem not in SEARCHES + SUITES_BY_NAME
)
CRITIC = "vigorl.training.critic.Critic"
ONLY_THE_USER_KNOWS = {
    "sft_from_mcts": ["data.path=chains.jsonl"],
    "grpo_from_mcts": ["from_model=${paths.start}"],
    "mpo_vstar": ["pairs.rollouts=train_phase_*.jsonl"],
}
OF_A_CHOICE = {
    "facts_judge": ["probes.facts_judge.urls=[http://host:1]", "probes.facts_judge.model=wise"],
    "dpo": ["pairs.rollouts=x"],
    "mpo": ["pairs.rollouts=x"],
    "influence": ["keep.val_trees=x"],
    "build_vision_g1": ["keep.val_trees=x"],
}
SCALES = ("tiny", "tiny_qwen3", "qwen2_5_vl_3b", "qwen2_5_vl_7b", "qwen3_vl_4b", "qwen3_vl_8b")
# each is one of those with another model: it is composed once, with no more than a run of its own
MORE_SCALES = (
    "tiny_internvl", "internvl3_1b", "internvl3_8b", "internvl3_5_8b",
    "tiny_qwen3_5", "qwen3_5_4b", "qwen3_5_9b", "tiny_glm", "glm4_1v_9b", "glm4_6v_flash",
)  # fmt: skip
WITH_EVERY_SCALE = ("grpo_vstar", "sft_vstar")  # with every scale; all others with some, in turn
RUNS = [
    *(
        (door, experiment, scale)
        for number, experiment in enumerate(EXPERIMENTS)
        for door, some in (("train", ("tiny", "qwen2_5_vl_7b")), ("evaluate", ()))
        for place, scale in enumerate(SCALES)
        if scale in some or place == number % len(SCALES) or experiment in WITH_EVERY_SCALE
        if not experiment.startswith("recipe_")
    ),
    # a recipe's sizes stand under `paper`, which all full scales read alike
    *(
        ("train", experiment, scale)
        for experiment in EXPERIMENTS
        for scale in ("tiny", "qwen2_5_vl_7b")
        if experiment.startswith("recipe_")
    ),
    *(("train", "grpo_vstar", scale) for scale in MORE_SCALES),
]


def options(group: str) -> list[str]:
    """The choices of a group; a file whose name begins with _ is what its choices share."""
    stems = (path.stem for path in Path(CONFIGS, group).rglob("*.yaml"))
    return sorted(stem for stem in stems if not stem.startswith("_"))


def compose_door(door: str, *overrides: str) -> DictConfig:
    with initialize_config_dir(CONFIGS, version_base="1.3"):
        return compose(door, list(overrides))


def resolved(cfg: DictConfig) -> dict[str, Any]:
    found = OmegaConf.to_container(cfg, resolve=True, throw_on_missing=True)
    assert isinstance(found, dict)
    return found


stages_of = all_stages


@pytest.mark.parametrize(("door", "experiment", "scale"), RUNS)
def test_every_experiment_gives_each_target_what_it_takes(
    door: str, experiment: str, scale: str
) -> None:
    given = ONLY_THE_USER_KNOWS.get(experiment, [])
    cfg = compose_door(door, f"experiment={experiment}", f"scale={scale}", *given)
    for stage in stages_of(cfg):
        check_settings(stage)
        if door == "train":
            _build_all_that_needs_no_weights(stage)


def _build_all_that_needs_no_weights(cfg: DictConfig) -> None:
    trainer = instantiate(cfg.trainer, logger=False)  # the run's own logger is given to it
    for node in (*cfg.env.tools, cfg.data):
        instantiate(node)
    for node in (cfg.env.prompt, cfg.plan, cfg.optimizer, cfg.traces, cfg.reward):
        instantiate(node)
    RolloutLimits(**cfg.env.limits)
    for name, node in cfg.callbacks.items():  # the rollout logger needs the model's images
        instantiate(node, _partial_=name == "rollout_logger")
    batches = [cfg.datamodule.get(key) for key in ("plan", "traces", "pairs")]
    batching = next((one for one in batches if one), None)
    wanted = instantiate(batching).accumulate(1) if batching else 1
    assert trainer.accumulate_grad_batches == wanted


@pytest.mark.parametrize(
    ("experiment", "scale"),
    [
        *(("mcts_vstar", scale) for scale in SCALES),
        *((one, SCALES[3 * (i % 2)]) for i, one in enumerate(BUILDERS)),
    ],
)
def test_every_search_gives_each_target_what_it_takes(experiment: str, scale: str) -> None:
    given = OF_A_CHOICE.get(experiment, [])
    cfg = compose_door("synthesize", f"experiment={experiment}", f"scale={scale}", *given)
    check_settings(cfg)
    for node in (cfg.data, cfg.search, cfg.budget):
        instantiate(node)


@pytest.mark.parametrize("option", options("keep"))
def test_every_rule_on_what_is_kept_composes(option: str) -> None:
    given = OF_A_CHOICE.get(option, [])
    cfg = compose_door("synthesize", "search=answers", f"keep={option}", *given)
    check_settings(cfg)
    assert cfg.keep is None or isinstance(instantiate(cfg.keep), Keep | KeepByGradient)


@pytest.mark.parametrize(
    ("search", "simulations", "retries", "settled"),
    [("paper", 20, 2, (8, 32)), ("released", 8, 0, (0, 0))],
)
def test_a_search_is_the_papers_or_the_released_one(
    search: str, simulations: int, retries: int, settled: tuple[int, int]
) -> None:
    settings = instantiate(
        compose_door("synthesize", "experiment=mcts_vstar", f"search={search}").search
    )
    assert (settings.num_simulations, settings.num_children, settings.num_rollouts) == (
        simulations, 3, 2,
    )  # fmt: skip
    assert (settings.num_retries, settings.exploration) == (retries, 2.0)
    assert (settings.solved_after, settings.hopeless_after) == settled


@pytest.mark.parametrize("option", options("check"))
def test_every_check_is_made_from_its_yaml(option: str) -> None:
    cfg = compose_door("synthesize", "experiment=mcts_vstar", f"check={option}")
    if option == "none":
        assert cfg.check is None
        return
    with pytest.raises(ConfigError, match=r"set check\.model, check\.urls"):
        check_settings(cfg)
    given = ["check.urls=[http://host:1]", "check.model=wise", "check.extra={thinking: {level: 1}}"]
    cfg = compose_door("synthesize", "experiment=mcts_vstar", f"check={option}", *given)
    check_targets(resolved(cfg))
    assert isinstance(assemble(cfg.check, tools={}), PointCheck)


@pytest.mark.parametrize("experiment", ONLY_THE_USER_KNOWS)
def test_what_only_the_user_knows_is_asked_for(experiment: str) -> None:
    (key,) = (one.partition("=")[0] for one in ONLY_THE_USER_KNOWS[experiment])
    with pytest.raises((ConfigError, OmegaConfBaseException), match=key):
        check_settings(compose_door("train", f"experiment={experiment}"))


@pytest.mark.parametrize("debug", options("debug"))
def test_debug_flags_divide_evenly(debug: str) -> None:
    cfg = compose_door("train", f"debug={debug}")
    assert cfg.trainer.accumulate_grad_batches == instantiate(cfg.plan).accumulate(1)
    check_targets(resolved(cfg))


def test_the_command_line_has_the_last_word_over_a_debug_flag() -> None:
    for words, epochs in (
        (["debug=fast"], 2),
        (["debug=fast", "num_phases=1"], 1),
        (["debug=fast", "algorithm=sft"], 2),
        (["debug=fast", "algorithm=sft", "sft.max_epochs=5"], 5),
    ):
        assert compose_door("train", *words).trainer.max_epochs == epochs


def test_a_made_worlds_folder_is_named_by_what_is_made_in_it() -> None:
    def root(*words: str) -> str:
        return compose_door("train", *words).data.root

    sizes = [root(), root("data.num_val=3"), root("data.seed=1"), root("data.scene.num_signs=7")]
    sft = ["experiment=sft_vstar", "stages=null"]
    worlds = [*sizes, root(*sft), root(*sft, "data.mix.zoom=0.5"), root(*sft, "zoom.whole_px=224")]
    debug = [root("debug=fast"), root("debug=fast", *sft)]
    assert len({*worlds, *debug}) == len(worlds) + len(debug)
    assert root() == root("experiment=grpo_vstar", "optimizer.lr=0.1")  # no other world
    assert root(*sft) == root(*sft, "+data.trace_categories=[pointing]")
    (folder,) = {stage.data.root for stage in stages_of(compose_door("train", sft[0]))}
    assert folder == root(*sft)


@pytest.mark.parametrize(
    ("group", "option"),
    [
        (group, option)
        for group in (
            "env",
            "reward",
            "strategy",
            "engine",
            "logger",
            "trainer",
            "callbacks",
            "algorithm",
            "sampler",
            "groups",
            "early_stop",
            "profile",
            "probes",
            "signals",
            "entropy",
            "guard",
            "exploration",
            "guests",
            "sft_mix",
            "overlap",
        )
        for option in options(group)
    ],
)
def test_every_other_choice_composes(group: str, option: str) -> None:
    door, given = "evaluate" if option == "evaluation" else "train", OF_A_CHOICE.get(option, [])
    cfg = compose_door(door, f"{group}={option}", *given)
    check_targets(resolved(cfg))
    if group == "probes":
        for node in cfg.probes.values():
            instantiate(node)
    if group in ("env", "reward"):
        assert isinstance(instantiate(cfg.reward), WeightedReward)
        tools = [instantiate(tool) for tool in cfg.env.tools]
        assert instantiate(cfg.env.prompt).write(tools=tools).system
    if group == "strategy" and isinstance(cfg.strategy, DictConfig):
        if "zero" in option and find_spec("deepspeed") is None:
            pytest.skip("needs the deepspeed extra")
        instantiate(cfg.strategy)


@pytest.mark.parametrize("option", options("inference"))
def test_every_rule_of_inference_is_made_from_its_yaml(option: str) -> None:
    judge = ["inference.judge.urls=[http://host:1]", "inference.judge.model=wise"]
    cfg = compose_door("evaluate", f"inference={option}", *(judge if "judge" in option else []))
    check_settings(cfg)
    rule = instantiate(cfg.inference)
    assert (rule is None) == (option == "none")
    if isinstance(rule, InferenceRule):
        assert rule.settings()["rule"]
        asks_somebody = getattr(rule, "judge", None) is not None
        assert asks_somebody == option.endswith("_judge")


SUITES = ["all", "vigorl_page", "vigorl_paper"]
BENCHMARKS = sorted(set(options("benchmark")) - set(SUITES))


@pytest.mark.parametrize(
    ("option", "scale"),  # scales in turn: each benchmark with each would take minutes
    [(option, SCALES[number % len(SCALES)]) for number, option in enumerate(BENCHMARKS)],
)
def test_every_benchmark_says_what_it_is_made_of(option: str, scale: str) -> None:
    cfg = compose_door("evaluate", f"benchmark={option}", f"scale={scale}", "data.root=somewhere")
    check_settings(cfg)
    benchmark = instantiate(cfg.data)
    assert isinstance(benchmark, Benchmark)
    assert (benchmark.name, cfg.name) == (option, option)
    assert "path" in benchmark.download


def test_what_is_asked_otherwise_than_a_benchmark_says_is_seen() -> None:
    chosen = ["benchmark=vstar", "data.root=somewhere"]
    one, other = (
        asked_by(compose_door("evaluate", *chosen, *more))
        for more in ([], ["env=visual_search_think", "data.option_seed=1"])
    )
    assert changed_settings(one, one) == []
    changed = changed_settings(one, other)
    assert {"data.option_seed", "env.prompt.form"} <= set(changed)


@pytest.mark.parametrize("suite", SUITES)
def test_every_suite_is_of_benchmarks_that_there_are(suite: str) -> None:
    cfg = compose_door("evaluate", f"benchmark={suite}", "data.root=somewhere")
    assert cfg.name == suite
    assert set(cfg.suite) <= set(BENCHMARKS)


@pytest.mark.parametrize("scale", SCALES)
def test_the_control_without_a_warm_start_is_of_the_scales_own_model(scale: str) -> None:
    control = compose_door("train", "experiment=grpo_vstar_no_warm_start", f"scale={scale}")
    ordinary = compose_door("train", "experiment=grpo_vstar", f"scale={scale}")
    if scale.startswith("tiny"):
        assert control.model.maker.source == ordinary.model.path
        assert control.model.path.endswith("/untrained")
    else:
        assert (control.model.path, control.model.maker) == (ordinary.model.path, None)


@pytest.mark.parametrize("option", options("scorer"))
def test_every_scorer_is_made_from_its_yaml(option: str) -> None:
    cfg = compose_door("train", "data=released_files", f"scorer@data.scorer={option}")
    assert isinstance(instantiate(cfg.data).scorer, Scorer)
    cfg = compose_door("synthesize", "experiment=mcts_vstar", f"scorer={option}")
    assert isinstance(instantiate(cfg.scorer), Scorer)


@pytest.mark.parametrize("option", options("data"))
def test_every_data_source_is_made_from_its_yaml(option: str) -> None:
    for door in ("train", "evaluate"):
        missing = OmegaConf.missing_keys(compose_door(door, f"data={option}"))
        assert missing <= {"data.root", "data.file", "data.path", "data.base.file"}
        paths = [f"{key}=somewhere" for key in missing]
        cfg = compose_door(door, f"data={option}", *paths)
        check_targets(resolved(cfg))
        instantiate(cfg.data)


@pytest.mark.parametrize(
    ("base", "given"),
    [
        ("released_files", {"train_tasks": "RL.jsonl", "image_root": "pictures"}),
        ("vstar_folder", {"root": "vstar"}),
    ],
)
def test_chains_of_real_pictures_stand_beside_their_questions(
    base: str, given: dict[str, str]
) -> None:
    named = [f"data.base.{key}={value}" for key, value in given.items()]
    command = ["experiment=sft_from_mcts", "data.path=chains.jsonl", "scale=qwen2_5_vl_7b"]
    cfg = compose_door("train", *command, f"data@data.base={base}", *named)
    check_settings(cfg)
    check_targets(resolved(cfg))
    source = instantiate(cfg.data)
    assert (source.path, source.scorer) == ("chains.jsonl", TextMatch())
    assert {key: getattr(source.base, key) for key in given} == given


def test_screenspot_has_two_spellings() -> None:
    pro = "data.read._target_=vigorl.data.sources.screenspot.read_screenspot_pro"
    for overrides, reader in (([], read_screenspot_v2), ([pro], read_screenspot_pro)):
        cfg = compose_door("evaluate", "data=screenspot", "data.file=somewhere", *overrides)
        assert instantiate(cfg.data).read.func is reader


@pytest.mark.parametrize(
    ("uri", "is_local"),
    [
        ("sqlite:///here/mlflow.db", True),
        ("file:///here/mlruns", True),
        ("here/mlruns", True),
        ("http://my-server:5000", False),
        ("https://my-server", False),
        ("databricks", False),
    ],
)
@pytest.mark.parametrize("route", ["variable", "setting"])
def test_only_a_store_on_this_disk_has_its_artifacts_beside_it(
    route: str, uri: str, is_local: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    overrides = [f"paths.root={tmp_path}"]
    if route == "variable":
        monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    else:
        overrides.append(f"logger.tracking_uri={uri}")
    logger = compose_door("train", *overrides).logger
    assert logger.tracking_uri == uri
    beside = (tmp_path / "outputs" / "mlartifacts").as_uri()
    assert logger.artifact_location == (beside if is_local else None)


def test_gspo_has_its_papers_bounds_and_no_kl_at_any_scale() -> None:
    for scale in ("tiny", "qwen2_5_vl_7b"):
        cfg = compose_door("train", "algorithm=gspo", f"scale={scale}")
        check_settings(cfg)
        algorithm = instantiate(cfg.module.algorithm)
        assert (algorithm.clip_low, algorithm.clip_high, algorithm.kl_coef) == (3e-4, 4e-4, 0.0)
        assert not needs_reference(cfg)
    assert needs_reference(compose_door("train", "algorithm=gspo", "kl_coef=0.1"))


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ("algorithm.clip_low=1.5", "clip_low"),
        ("algorithm.constant_length=9", "no effect with normalization=token_mean"),
        ("algorithm.normalization=constant_length", "needs constant_length"),
        (f"critic={{_target_: {CRITIC}, lr: 0.1}}", "critic has no effect"),
        (
            "algorithm.estimator={_target_: vigorl.training.estimators.gae.GAE}",
            "needs a critic: set critic, as configs/algorithm/_critic",
        ),
    ],
)
def test_an_algorithms_settings_are_refused_before_weights_are_loaded(
    said: str, message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        check_settings(compose_door("train", said))


@pytest.mark.parametrize("scale", ["qwen2_5_vl_3b", "qwen2_5_vl_7b"])
def test_full_scales_hold_the_papers_multi_turn_values(scale: str) -> None:
    cfg = compose_door("train", "experiment=grpo_vstar", f"scale={scale}")
    assert cfg.model.path == f"Qwen/Qwen2.5-VL-{scale[-2:].upper()}-Instruct"
    # Sarch et al. 2025, table A3
    assert (cfg.plan.group_size, cfg.plan.prompts_per_phase) == (8, 128)
    assert cfg.plan.sequences_per_update == 64 * 8
    assert (cfg.optimizer.lr, cfg.optimizer.weight_decay) == (1e-6, 0.01)
    assert cfg.optimizer.warmup_frac == 0.05
    assert cfg.algorithm.kl_coef == 0.01
    assert (cfg.algorithm.clip_low, cfg.algorithm.clip_high) == (0.2, 0.28)
    assert cfg.trainer.gradient_clip_val == 0.2
    assert cfg.trainer.max_epochs == 500
    assert cfg.env.temperature == 1.0
    assert (cfg.env.limits.max_turns, cfg.env.limits.max_response_tokens) == (5, 4096)
    # appendix A.3: 364 px windows shown at 672
    assert (cfg.env.tools[0].window_px, cfg.env.tools[0].view_px) == (364, 672)
    # table A1 (SFT)
    assert cfg.traces.sequences_per_update == 32


@pytest.mark.parametrize("data", ["released_files", "made_world_traces"])
@pytest.mark.parametrize("scale", ["qwen2_5_vl_3b", "qwen2_5_vl_7b"])
def test_full_scales_fine_tune_the_pretrained_model_as_the_paper(scale: str, data: str) -> None:
    cfg = compose_door("train", "experiment=sft_vstar", f"scale={scale}", f"data={data}")
    assert stages_of(cfg) == [cfg]
    assert cfg.model.path == f"Qwen/Qwen2.5-VL-{scale[-2:].upper()}-Instruct"
    assert cfg.model.maker is None
    # Sarch et al. 2025, table A1
    assert instantiate(cfg.optimizer) == OptimizerSettings(
        lr=1e-6, weight_decay=0.01, schedule="cosine", warmup_frac=0.03, betas=[0.9, 0.999]
    )
    assert (cfg.trainer.max_epochs, cfg.trainer.gradient_clip_val) == (3, 1.0)
    assert (cfg.traces.sequences_per_update, cfg.traces.max_tokens) == (32, 8192)
    assert cfg.model.freeze_vision_tower
    instantiate(cfg.data)


@pytest.mark.parametrize("scale", SCALES)
def test_chains_of_a_search_go_on_from_a_model_that_is_there(scale: str) -> None:
    given = ["data=traces", "data.path=chains.jsonl"]
    cfg = compose_door("train", "experiment=sft_vstar", f"scale={scale}", *given)
    assert stages_of(cfg) == [cfg]
    start = compose_door("train", "experiment=grpo_vstar", f"scale={scale}")
    assert (cfg.model.path, cfg.model.maker) == (start.model.path, None)
    assert isinstance(instantiate(cfg.data), WithTraces)


def test_the_released_traces_are_named_on_the_command_line() -> None:
    given = ["data=released_files", "data.traces=SFT.json", "data.image_root=pictures"]
    cfg = compose_door("train", "experiment=sft_vstar", "scale=qwen2_5_vl_7b", *given)
    source = instantiate(cfg.data)
    assert (source.traces, source.image_root) == ("SFT.json", "pictures")
    own = compose_door("train", "experiment=sft_vstar", "scale=qwen2_5_vl_7b", "optimizer.lr=1e-5")
    assert (own.optimizer.lr, own.optimizer.schedule) == (1e-5, "cosine")


@pytest.mark.parametrize(
    ("scale", "side"),
    [("tiny", 112), ("tiny_qwen3", 128), ("tiny_internvl", 112), ("qwen2_5_vl_7b", 448)],
)
def test_made_traces_fit_the_scale(scale: str, side: int) -> None:
    cfg = compose_door("train", "experiment=sft_vstar", f"scale={scale}")
    source = instantiate(cfg.data)
    assert source.view == side
    assert side**2 <= min(cfg.pixels.max_pixels, source.scene.side_px**2)
    tools = [instantiate(tool) for tool in cfg.env.tools]
    assert source.mix.zoom_system == instantiate(cfg.env.prompt).write(tools=tools).system


@pytest.mark.parametrize(
    ("overrides", "reward"),
    [
        (["env=visual_search_zoom"], "grounded_zoom"),
        (["env=visual_search_point"], "single_turn"),
        (["experiment=grpo_vstar_no_grounding"], "single_turn"),
        (["env=visual_search_point", "reward=vigorl_paper"], "vigorl_paper"),
        (["experiment=grpo_vstar_single_turn", "reward=vigorl_released"], "vigorl_released"),
    ],
)
def test_an_env_brings_its_reward_and_the_command_line_has_the_last_word(
    overrides: list[str], reward: str
) -> None:
    assert instantiate(compose_door("train", *overrides).reward).name == reward


def test_pictures_of_each_scale_are_whole_tokens_of_its_family() -> None:
    for scale in (*SCALES, *MORE_SCALES):
        cfg = compose_door("train", f"scale={scale}")
        factor = 32 if "qwen3" in scale else 28
        smallest = 448 if scale.startswith("internvl") else 2 * factor  # a tile, or 2 x 2 tokens
        assert cfg.pixels.min_pixels == smallest**2
        assert cfg.zoom.view_px % factor == cfg.zoom.whole_px % factor == 0


@pytest.mark.parametrize(
    ("scale", "model_type"),
    [
        ("tiny", "qwen2_5_vl"),
        ("tiny_qwen3", "qwen3_vl"),
        ("tiny_internvl", "internvl"),
        ("tiny_glm", "glm4v"),
        ("tiny_qwen3_5", "qwen3_5"),
    ],
)
def test_a_tiny_start_is_of_the_scales_family(scale: str, model_type: str) -> None:
    first, *_ = stages_of(compose_door("train", "experiment=sft_vstar", f"scale={scale}"))
    assert instantiate(first.model.maker.settings).model_type == model_type


def test_the_tiny_start_is_made_from_nothing() -> None:
    stages = stages_of(compose_door("train", "experiment=sft_vstar"))
    assert [(stage.name, stage.max_epochs, stage.optimizer.lr) for stage in stages] == [
        ("sft_vstar/see", 3, 2.5e-3),
        ("sft_vstar/point", 3, 1.5e-3),
        ("sft_vstar/speak", 2, 1e-3),
        ("sft_vstar/practise", 3, 2e-3),
    ]
    for before, stage in pairwise(stages):
        assert stage.model.path.endswith(f"/{before.name.removeprefix('sft_vstar/')}/model")
    for stage in stages:
        assert stage.data.num_traces == 12000
        assert stage.pixels.cache_bytes == 12 * 2**30
        assert stage.trainer.gradient_clip_val == 1.0
        assert stage.trainer.precision == "32-true"
        assert (stage.model.dtype, stage.model.engine_dtype) == ("float32", "float32")


@pytest.mark.parametrize("experiment", ["grpo_vstar", "sft_vstar"])
def test_full_scales_learn_in_float32_and_compute_in_bfloat16(experiment: str) -> None:
    cfg = compose_door("train", f"experiment={experiment}", "scale=qwen2_5_vl_7b")
    assert (cfg.model.dtype, cfg.trainer.precision) == ("float32", "bf16-mixed")
    assert (cfg.model.engine_dtype, cfg.model.reference_dtype) == ("bfloat16", None)


@pytest.mark.parametrize("scale", ["qwen2_5_vl_3b", "qwen2_5_vl_7b"])
def test_full_scales_correct_for_the_engines_bfloat16(scale: str) -> None:
    cfg = compose_door("train", "experiment=grpo_vstar", f"scale={scale}")
    assert instantiate(cfg.module.importance_correction) == ImportanceCorrection(
        level="token", mode="truncate", cap_high=2.0
    )
    off = compose_door("train", f"scale={scale}", "importance_correction=null")
    assert off.module.importance_correction is None
    check_settings(off)


def test_the_tiny_engine_is_exact_and_its_gap_only_measured() -> None:
    cfg = compose_door("train")
    assert cfg.module.importance_correction is None
    assert cfg.model.engine_dtype == cfg.model.dtype == "float32"
    on = "importance_correction={_target_:vigorl.models.correction.ImportanceCorrection}"
    assert instantiate(compose_door("train", on).module.importance_correction) == (
        ImportanceCorrection()
    )


@pytest.mark.parametrize("setting", ["level=turn", "mode=clip", "cap_high=1", "cap_low=0.5"])
def test_a_wrong_correction_is_refused_by_its_key(setting: str) -> None:
    cfg = compose_door("train", "scale=qwen2_5_vl_7b", f"importance_correction.{setting}")
    with pytest.raises(ConfigError, match=rf"importance_correction\.{setting.split('=')[0]}"):
        check_settings(cfg)


def test_a_correction_and_a_cut_tail_exclude_each_other() -> None:
    cfg = compose_door("train", "scale=qwen2_5_vl_7b", "env.top_p=0.99")
    with pytest.raises(ConfigError, match=r"env\.top_p=0\.99 with importance_correction"):
        check_settings(cfg)
    cfg = compose_door("train", "scale=qwen2_5_vl_7b", "env.top_p=0.99", "experiment=sft_vstar")
    check_settings(stages_of(cfg)[-1])
    check_settings(compose_door("train", "env.top_p=0.99"))


HALF = [
    ["model.dtype=bfloat16"],
    ["model.dtype=float16", "precision=16-mixed", "strategy=ddp"],
    ["precision=bf16-true"],
    ["trainer.precision=16-true", "strategy=ddp"],
]
LORA = "model.lora={_target_:vigorl.models.lora.LoraSettings}"


@pytest.mark.parametrize("overrides", HALF)
def test_adamw_on_sixteen_bit_weights_is_refused(overrides: list[str]) -> None:
    with pytest.raises(ConfigError, match=r"model\.dtype=.*trainer\.precision="):
        check_settings(compose_door("train", *overrides))


@pytest.mark.parametrize(
    "overrides",
    [
        ["model.dtype=bfloat16", "precision=bf16-mixed", "strategy=zero2"],  # steps float32 copies
        ["precision=bf16-true", "strategy=zero3"],
        ["model.dtype=bfloat16", LORA],  # the adapters are float32
    ],
)
def test_float32_copies_and_adapters_learn_beside_sixteen_bit_weights(overrides: list[str]) -> None:
    check_settings(compose_door("train", *overrides))


def test_sixteen_bit_weights_can_be_evaluated() -> None:
    check_settings(compose_door("evaluate", "model.dtype=bfloat16"))


def test_seeds_of_one_experiment_are_told_apart_by_their_names() -> None:
    names = [compose_door("train", f"seed={seed}").logger.run_name for seed in (0, 1)]
    assert names == ["grpo_vstar, seed 0", "grpo_vstar, seed 1"]


def test_fine_tuning_has_no_kl() -> None:
    cfg = compose_door("train", "algorithm=sft", "scale=qwen2_5_vl_7b")
    assert dict(cfg.module) == {"_target_": "vigorl.training.sft_module.SFTModule"}


def test_micro_batches_shrink_with_devices() -> None:
    # 128 sequences / (16 x 2 devices) = 4
    overrides = ["trainer.devices=2", "plan.sequences_per_update=128", "plan.micro_batch_size=16"]
    assert compose_door("train", *overrides).trainer.accumulate_grad_batches == 4


def test_an_unknown_key_is_an_error_that_names_it() -> None:
    with pytest.raises(ConfigCompositionException, match=r"optimizer\.learning_rate"):
        compose_door("train", "optimizer.learning_rate=1")


def test_a_sampler_is_chosen_on_the_command_line() -> None:
    cfg = compose_door("train")
    assert cfg.sampler is None
    assert cfg.datamodule.sampler is None
    # the YAML says the defaults of the class, and one of them is said otherwise
    on = compose_door("train", "sampler=solve_rate", "sampler.floor_frac=0.2")
    check_settings(on)
    assert instantiate(on.datamodule.sampler) == SolveRateSampling(floor_frac=0.2)


@pytest.mark.parametrize("algorithm", ["vppo", "papo"])
def test_a_signal_that_is_also_asked_for_stays_as_its_algorithm_sets_it(algorithm: str) -> None:
    alone = compose_door("train", f"algorithm={algorithm}").signals
    both = [f"algorithm={algorithm}", "signals=[visual_dependency,region_to_whole]"]
    signals = compose_door("train", *both, "signals.region_to_whole.margin=2.0").signals
    assert signals.visual_dependency == alone.visual_dependency
    assert signals.region_to_whole.margin == 2.0


def test_a_sampler_is_refused_before_any_weights_are_loaded() -> None:
    bad = compose_door("train", "sampler=solve_rate", "sampler.skip_above=0.2")
    with pytest.raises(ConfigError, match=r"^sampler\.skip_above must be above 0\.5"):
        check_settings(bad)
    for stage in stages_of(compose_door("train", "experiment=sft_vstar", "sampler=solve_rate")):
        with pytest.raises(ConfigError, match="sampler has no effect on SFT"):
            check_settings(stage)


def test_fine_tuning_on_chains_keeps_the_best_epoch() -> None:
    chains = ["experiment=sft_from_mcts", *ONLY_THE_USER_KNOWS["sft_from_mcts"]]
    stop = instantiate(compose_door("train", *chains, "early_stop.patience=4").early_stop)
    assert (stop.metric, stop.mode, stop.patience) == ("val/accuracy", "max", 4)
    loss = instantiate(compose_door("train", *chains, "early_stop=val_nll").early_stop)
    assert (loss.metric, loss.mode) == ("val/nll", "min")
    for experiment in ("sft_vstar", "grpo_vstar"):
        assert compose_door("train", f"experiment={experiment}").early_stop is None
    with pytest.raises(ConfigError, match=r"^early_stop\.patience must be"):
        check_settings(compose_door("train", *chains, "early_stop.patience=0"))


def test_an_unknown_experiment_is_an_error_that_lists_them() -> None:
    with pytest.raises(Exception, match="grpo_vstar_single_turn") as caught:
        compose_door("train", "experiment=grpo_vstarr")
    assert "grpo_vstarr" in str(caught.value)


def test_a_missing_value_is_an_error_that_names_its_key() -> None:
    with pytest.raises(ConfigError, match=r"data\.root"):
        check_settings(compose_door("train", "data=vstar_folder"))


def pins(requirements: list[str]) -> dict[str, str]:
    found = [Requirement(line) for line in requirements]
    return {canonicalize_name(r.name): str(r.specifier) for r in found if "==" in str(r.specifier)}


def test_constraints_pin_what_pyproject_pins() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    constraints = pins((ROOT / "constraints.txt").read_text().split())
    required = pins(project["dependencies"])
    assert required == {name: constraints.get(name) for name in required}
    for extra in project[
        "optional-dependencies"
    ].values():  # vllm and its CPU build are alternatives
        for name, version in pins(extra).items():
            assert constraints.get(name, version) == version


def imported_packages() -> set[str]:
    """What src imports at its top level or later, but for the standard library and itself."""
    found: set[str] = set()
    for path in (ROOT / "src").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                found |= {one.name.partition(".")[0] for one in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                found.add(node.module.partition(".")[0])
    return found - set(sys.stdlib_module_names) - {"vigorl"}


def test_whatever_is_imported_is_declared() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    optional = project["optional-dependencies"]
    names = ("vllm", "deepspeed", "liger", "video", "ocr", "demo", "web", "notebooks")
    extras = [optional[name] for name in names]
    declared = {
        canonicalize_name(Requirement(line).name)
        for line in [*project["dependencies"], *itertools.chain(*extras)]
    }
    named_otherwise = {"PIL": "pillow", "hydra": "hydra-core", "yaml": "pyyaml"}
    used = {canonicalize_name(named_otherwise.get(name, name)) for name in imported_packages()}
    assert used <= declared


def test_conda_makes_the_same_environment_as_pip() -> None:
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    python = next(one for one in environment["dependencies"] if str(one).startswith("python="))
    assert project["requires-python"] == ">=3.11,<3.12"
    assert python == "python=3.11"
    (by_pip,) = [one["pip"] for one in environment["dependencies"] if isinstance(one, dict)]
    assert by_pip == ["--constraint constraints.txt", "--editable ."]
