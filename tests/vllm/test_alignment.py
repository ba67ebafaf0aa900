"""The whole GRPO door on vLLM; and each known way in which engine and trainer come apart, planted.

tests/integration/test_alignment.py does the same with the hf engine.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import pytest

import vigorl.callbacks.rollout as rollout_callback
from tests.integration.door import VARIED_REWARD, all_metrics, history, settings
from vigorl.core.errors import AlignmentError
from vigorl.core.media import ImageView
from vigorl.core.protocols import GenerationRequest
from vigorl.data.encoding import expand_image_pads
from vigorl.rollout.engines.vllm import VLLMEngine
from vigorl.train import train
from vigorl.training.phase import Credited

pytest.importorskip("vllm", reason="needs vLLM: make test-vllm")
pytestmark = pytest.mark.vllm

# whole turns, so that the start checkpoint zooms; a step that shows; both phases looked at
BOLD = [
    VARIED_REWARD, "engine=vllm", "engine_limits.kv_cache_gib=0.25", "limits.max_new_tokens=48",
    "model.freeze_vision_tower=false", "optimizer.lr=0.003", "optimizer.warmup_frac=0",
    "rollout.alignment.every=1", "rollout.alignment.num_rollouts=8",
    "data.num_train=2",  # the same pictures in both phases
]  # fmt: skip


class Honest(VLLMEngine):
    """One vLLM for all runs of this process: it starts slowly, and each run publishes anyway."""

    _started: ClassVar[list[Any]] = []

    @cached_property
    def _vllm(self) -> Any:
        if not self._started:
            self._started.append(VLLMEngine._vllm.func(self))
        return self._started[0]


class StaleWeights(Honest):
    """Takes the first weights, and none after them."""

    def publish(self, weights: Iterable[tuple[str, Any]], *, version: int) -> None:
        if version == 0:
            super().publish(weights, version=version)
        self.policy_version = version


class StaleTower(Honest):
    """Takes new weights, but those of the vision tower are the first ones."""

    _first: ClassVar[dict[str, Any]] = {}

    def publish(self, weights: Iterable[tuple[str, Any]], *, version: int) -> None:
        if version == 0:
            named = {name: weight.clone() for name, weight in weights}
            self._first.update({n: weight for n, weight in named.items() if "visual." in n})
            return super().publish(named.items(), version=version)
        kept = ((name, self._first.get(name, weight)) for name, weight in weights)
        return super().publish(kept, version=version)


class KeptPictures(Honest):
    """Takes new weights, but keeps the features of the pictures that it has seen."""

    def _drop_caches(self) -> None:
        assert self._vllm.reset_prefix_cache()


class DroppedPicture(Honest):
    """Shows the policy all pictures but the last."""

    def _prompt(self, request: GenerationRequest) -> dict[str, Any]:
        if len(request.views) > 1:
            ids = request.prompt_ids
            last = len(ids) - 1 - ids[::-1].index(self._codec.image_id)
            request = replace(
                request, prompt_ids=ids[:last] + ids[last + 1 :], views=request.views[:-1]
            )
        return super()._prompt(request)


class WrongPicture(Honest):
    """Shows the whole picture in the place of every crop."""

    def _picture(self, view: ImageView) -> Any:
        return super()._picture(replace(view, box=None))


class TwiceExpanded(Honest):
    """Hands vLLM placeholders that are expanded already, which it then expands once more."""

    def _prompt(self, request: GenerationRequest) -> dict[str, Any]:
        prompt = super()._prompt(request)
        counts = [self._images.num_tokens(view) for view in request.views]
        ids = expand_image_pads(request.prompt_ids, counts, image_id=self._codec.image_id)
        return prompt | {"prompt_token_ids": list(ids)}


def engine(name: str) -> str:
    return f"engine._target_=tests.vllm.test_alignment.{name}"


def test_an_honest_engine_passes_in_every_phase(tmp_path: Path) -> None:
    train(settings(tmp_path, *BOLD, engine("Honest")))
    assert len(history(tmp_path, "align/mean_gap")) == 2
    found = all_metrics(tmp_path)
    assert max(value for step in found["align/mean_gap"].values() for value in step) < 1e-5
    assert max(value for step in found["align/max_gap"].values() for value in step) < 1e-3
    assert max(value for step in found["rollout/zooms_mean"].values() for value in step) > 0


def test_adapters_alone_pass_in_every_phase(tmp_path: Path) -> None:
    lora = "model.lora={_target_:vigorl.models.lora.LoraSettings,rank:4}"
    # an engine with room for adapters: one of its own
    train(settings(tmp_path, *BOLD, lora, "model.freeze_vision_tower=true"))
    assert max(value for _, value in history(tmp_path, "align/max_gap")) < 1e-3
    sizes = [value for _, value in history(tmp_path, "perf/publish_mb")]
    assert len(sizes) == 2
    assert max(sizes) < 1  # all weights are 9 MB


@pytest.mark.parametrize(
    ("planted", "phase"),
    [
        ("StaleWeights", 1),
        ("StaleTower", 1),
        ("KeptPictures", 1),
        ("DroppedPicture", 0),
        ("WrongPicture", 0),
        ("TwiceExpanded", 0),
    ],
)
def test_a_planted_bug_stops_the_run(tmp_path: Path, planted: str, phase: int) -> None:
    with pytest.raises(AlignmentError, match=rf"rollout train/{phase}/"):
        train(settings(tmp_path, *BOLD, engine(planted)))


def test_a_shifted_mask_stops_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    honest = rollout_callback.credit_rollouts

    def shifted(*args: Any, **kwargs: Any) -> Credited:
        credited = honest(*args, **kwargs)
        return credited._replace(
            samples=[
                replace(sample, loss_mask=(0, *sample.loss_mask[:-1]))
                for sample in credited.samples
            ]
        )

    monkeypatch.setattr(rollout_callback, "credit_rollouts", shifted)
    with pytest.raises(AlignmentError, match="rollout train/0/"):
        train(settings(tmp_path, *BOLD, engine("Honest")))
