"""What may differ between what is recorded and what goes on with it."""

from __future__ import annotations

from omegaconf import OmegaConf

from vigorl.shards import asked_otherwise


def test_a_setting_that_is_newer_than_the_record_and_left_off_is_no_change() -> None:
    before = {"seed": 0, "paths": {}}  # from before there was inference=
    today = OmegaConf.create({"seed": 0, "inference": None, "shard": None, "paths": {}})
    keys = ("seed", "inference", "shard")
    assert asked_otherwise(before, today, keys) == []
    today.inference = {"num_answers": 5}
    assert asked_otherwise(before, today, keys) == ["  inference.num_answers: (absent) -> 5"]
