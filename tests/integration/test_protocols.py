"""A benchmark under other protocols: whose prompt, how many turns and tokens, whose reading."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from tests.integration.door import SMALL, settings
from tests.integration.test_evaluate import evaluation
from vigorl.core.errors import ConfigError
from vigorl.evaluation.protocols.lmms_eval import LmmsEval
from vigorl.evaluation.rescoring import rescore
from vigorl.rollout.recorder import read_rollouts

FREE = [one for one in SMALL if one != "debug=fast"]  # sizes of the made world


@pytest.mark.parametrize(("protocol", "tokens"), [("lmms_eval", 16), ("vlmevalkit", 2048)])
def test_a_kit_has_the_last_word_over_the_benchmark(
    tmp_path: Path, protocol: str, tokens: int
) -> None:
    said = ["benchmark=vstar", f"protocol={protocol}", "data.root=x"]
    cfg = settings(tmp_path, *said, door="evaluate", small=FREE)
    assert cfg.env.tools == []
    assert cfg.env.limits.max_turns == 1
    assert cfg.env.limits.max_new_tokens == tokens
    assert cfg.protocol.judging.benchmark == cfg.protocol.prompt.benchmark == "vstar"


def test_a_kit_without_the_task_is_refused_at_once(tmp_path: Path) -> None:
    said = ["benchmark=treebench", "protocol=lmms_eval", "data.root=x"]
    with pytest.raises(ConfigError, match="cannot be used for treebench: it has no such task"):
        evaluation(tmp_path, "must_not_start", *said, small=FREE)


def test_another_reading_of_the_same_answers(tmp_path: Path) -> None:
    ours = evaluation(tmp_path / "ours", "says_red")
    theirs = evaluation(tmp_path / "theirs", "says_red", "protocol=vigorl_released")
    assert ours.protocol is not None
    assert theirs.protocol is not None
    assert ours.protocol.fingerprint != theirs.protocol.fingerprint
    assert "judging._target_" in ours.protocol.differences(theirs.protocol)

    written = tmp_path / "ours/run/rollouts.jsonl"
    rollouts = [one.scored.rollout for one in read_rollouts(written)]
    assert [one.scores for one in rescore(rollouts)] == [one.scores for one in ours.questions]
    read = rescore(rollouts, LmmsEval("mmvp"))
    assert [one.id for one in read] == [one.id for one in ours.questions]


def test_a_judge_is_part_of_the_protocol(tmp_path: Path) -> None:
    said = ["judge=chat", "judge.urls=[http://127.0.0.1:9]", "judge.model=wise"]
    report = evaluation(tmp_path, "says_red", *said)  # options alone: nobody is asked
    assert report.protocol is not None
    judging = json.loads(json.dumps(report.protocol.settings))["judging"]
    assert judging["model"] == "wise"
    assert report.questions[0].extras["judged"] == 0.0
    assert OmegaConf.load(tmp_path / "run/config.yaml").judge.model == "wise"
