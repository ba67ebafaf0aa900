from __future__ import annotations

from typing import Any, cast

import pytest

from tests.test_configs import compose_door
from tests.unit.models.small import make_policy
from vigorl.build import Parts
from vigorl.data.markups.dialect import CANONICAL_CALL
from vigorl.models.policy import Policy
from vigorl.train import build_module


class Codec:
    banned_ids = ()
    call_pattern = CANONICAL_CALL


@pytest.mark.parametrize(("experiment", "temperature"), [("grpo_vstar", 0.5), ("sft_vstar", 1.0)])
def test_only_what_was_sampled_is_scored_at_the_temperature_of_the_sampling(
    experiment: str, temperature: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Policy, "from_pretrained", lambda *_, **__: make_policy())
    cfg = compose_door("train", f"experiment={experiment}", "env.temperature=0.5")
    parts = Parts("folder", cast(Any, Codec()), *cast(Any, [None] * 3))
    assert build_module(cfg, parts).temperature == temperature
