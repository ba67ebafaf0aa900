from __future__ import annotations

from pathlib import Path

import pytest
from omegaconf import OmegaConf

from vigorl.run_description import description, parent_of, run_name
from vigorl.run_folder import Identity, write_identity

CFG = OmegaConf.create(
    {"logger": {"run_name": "grpo, seed 1"}, "model": {"path": "x/y/model"}, "paths": {"run": "r"}}
)


@pytest.mark.parametrize(
    ("said", "name"),
    [
        (["experiment=grpo", "seed=1", "paths.root=/x", "data.root=y"], "grpo, seed 1"),
        (["plan.group_size=16", "+a.b=2"], "grpo, seed 1, plan.group_size=16, a.b=2"),
        (["model.path=x/y/model"], "grpo, seed 1, x/y"),
        ([f"k{i}=1" for i in range(6)], "grpo, seed 1, k0=1, k1=1, k2=1, k3=1, 2 more"),
    ],
)
def test_a_name_says_what_differs(said: list[str], name: str) -> None:
    assert run_name(CFG, said) == name


def test_the_run_that_made_the_model_is_found(tmp_path: Path) -> None:
    cfg = OmegaConf.merge(CFG, {"model": {"path": str(tmp_path / "model")}})
    assert parent_of(cfg) is None
    write_identity(tmp_path / "run.json", Identity(format=2, mlflow_run_id="abc", overrides=[]))
    parent = parent_of(cfg)
    assert parent is not None
    assert parent.run_id == "abc"
    text = description(
        cfg, door="train", said=["a='b c'"], run_id="run", commit="0" * 40 + "+", parent=parent,
        prints={"data/train": "12ab"},
    )  # fmt: skip
    for part in ("vigorl.train", "abc", str(tmp_path), "000000000000+", "12ab", "run_uuid=run"):
        assert part in text
