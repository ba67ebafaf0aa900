"""No value of a command line is outdone in silence, by a stage or by a group."""

from __future__ import annotations

import pytest

from tests.unit.test_settings import composed
from vigorl.core.errors import ConfigError
from vigorl.settings.reach import refuse_outdone
from vigorl.settings.stages import all_stages

SFT, CHAINS = "experiment=sft_vstar", ["experiment=sft_from_mcts", "data.path=x"]


def look(*said: str, door: str = "train") -> None:
    refuse_outdone(composed(door, *said), said, door=door)


@pytest.mark.parametrize(
    ("said", "line"),
    [
        ("max_epochs=1", r"max_epochs .* \(see, point, speak, practise\): set stages\.see\.max_ep"),
        ("optimizer.lr=0.1", r"optimizer\.lr .* set stages\.see\.optimizer\.lr and so on"),
        ("+optimizer.eps=0.1", r"optimizer\.eps .* set stages\.see\.optimizer\.eps and so on"),
        ("model.path=x", r"model\.path .* set stages\.see\.model\.path and so on"),
        ("model.freeze_vision_tower=true", r"model\.freeze_vision_tower .* \(see\): set stages\.s"),
        ("+data.trace_categories=[question]", r"data\.trace_categories .* \(point\)"),
        ("+callbacks.checkpoint.model_dtype=float32", r"callbacks\.checkpoint\..* \(practise\)"),
        ("sft.lr=0.1", r"sft\.lr has no effect: .* reads it; set stages\.see\.optimizer\.lr"),
        ("sft.max_epochs=1", r"sft\.max_epochs .*; set stages\.see\.max_epochs"),
        ("num_phases=1", r"num_phases has no effect: nothing that was chosen reads it"),
    ],
)
def test_what_a_stage_sets_itself_is_not_taken_from_the_command_line(said: str, line: str) -> None:
    with pytest.raises(ConfigError, match=f"^{line}"):
        look(SFT, said)


@pytest.mark.parametrize(
    "said",
    [
        ["seed=1"],
        ["name=mine"],
        ["rollout.eval_every=2"],  # of the stages that have rollouts
        ["model.dtype=float32"],
        ["model.freeze_vision_tower=false"],  # as the stage says itself
        ["stages.see.max_epochs=1"],
        ["model.freeze_vision_tower=true", "stages.see.model.freeze_vision_tower=true"],
        ["+tiny.vocab_size=3000"],  # of the first stage's model
        ["traces.micro_batch_size=8"],
        ["zoom.window_px=56"],
        ["~num_phases"],
    ],
)
def test_what_a_stage_takes_from_the_run_is_said_once(said: list[str]) -> None:
    look(SFT, *said)


def test_a_name_is_the_name_of_every_stage() -> None:
    cfg = composed("train", SFT, "name=mine", "paths.root=here")
    names = [one.name for one in all_stages(cfg)]
    assert names == ["mine/see", "mine/point", "mine/speak", "mine/practise"]
    assert composed("train", SFT).stages.see.name == "sft_vstar/see"


@pytest.mark.parametrize(
    ("door", "said", "line"),
    [
        (
            "train",
            ["env=visual_search_point", "limits.max_turns=3"],
            r"limits\.max_turns .* set env",
        ),
        (
            "evaluate",
            ["env=visual_search_point", "limits.max_turns=3"],
            r"limits\.max_turns .* env",
        ),
        ("train", ["env=visual_search_think", "zoom.window_px=56"], r"zoom\.window_px has no"),
        ("train", [*CHAINS, "num_phases=3"], r"num_phases has no effect"),
        ("train", [*CHAINS, "kl_coef=0.1"], r"kl_coef has no effect"),
        ("train", [*CHAINS, "plan.group_size=4"], r"plan\.group_size has no effect"),
        ("train", ["sft.lr=0.1"], r"sft\.lr has no effect: .*; set optimizer\.lr"),
        ("train", ["engine_limits.max_num_seqs=8"], r"engine_limits\.max_num_seqs has no effect"),
        ("train", ["tiny.model_type=qwen3_vl"], r"tiny\.model_type has no effect"),
    ],
)
def test_what_nothing_reads_is_refused_with_what_counts(
    door: str, said: list[str], line: str
) -> None:
    with pytest.raises(ConfigError, match=f"^{line}"):
        look(*said, door=door)


@pytest.mark.parametrize(
    ("door", "said"),
    [
        ("train", ["num_phases=1", "debug=fast", "kl_coef=0.1", "limits.max_turns=3"]),
        ("train", ["max_epochs=3", "accumulate=1", "gradient_clip=2", "precision=32-true"]),
        ("train", ["algorithm=gspo", "algorithm.clip_low=0.01", "alignment.max_gap=1"]),
        ("train", ["engine=vllm", "engine_limits.max_num_seqs=8", "plan={passes: 2}"]),
        ("train", [*CHAINS, "sft.lr=0.1", "traces.max_tokens=9", "early_stop=none"]),
        ("train", ["+mine.own=3", "reward=vanilla"]),
        ("evaluate", ["experiment=grpo_vstar", "plan.group_size=4", "optimizer.lr=0.1"]),
        ("synthesize", ["near.search_px=3", "near.chains_px=3", "limits.max_turns=4"]),
        ("synthesize", ["env=visual_search_steps", "limits.max_new_tokens=50"]),
    ],
)  # fmt: skip
def test_what_is_read_somewhere_is_taken(door: str, said: list[str]) -> None:
    look(*said, door=door)
