"""What every family must get right; a new one is one more entry by itself.

The two pictures are of unequal shape, and the second comes in the second turn, on top of what the
engine keeps of the first.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import AutoImageProcessor

from tests.unit.families.little import (
    WIDE,
    Little,
    batch_of,
    crop,
    dialogs,
    little,
    plain_logprobs,
    two_turns,
)
from vigorl.core.errors import ConfigError
from vigorl.core.geometry import Box, Point, Size
from vigorl.core.media import FileImage, ImageView, TextFrame
from vigorl.core.protocols import Scene
from vigorl.core.records import TaskRecord
from vigorl.core.rewards.accuracy import AccuracyReward
from vigorl.core.rewards.format import FormatReward
from vigorl.core.rewards.grounding import GroundingReward
from vigorl.core.rollout import Rollout, StopReason, Turn
from vigorl.core.scoring import PointInBox
from vigorl.core.trace import ToolCall, render_answer_turn, render_point, render_tool_turn
from vigorl.families.lookup import family_of, known_families
from vigorl.models.policy import Policy
from vigorl.rollout.engines.hf import HFEngine
from vigorl.rollout.engines.server import ServerEngine
from vigorl.rollout.engines.vllm import VLLMEngine

__all__ = ["little"]


def test_the_engines_logprobs_are_those_of_one_full_forward_pass(little: Little) -> None:
    sample = two_turns(little, HFEngine(little.model, little.codec, little.images))
    first, second = (view.size for view in sample.views)
    assert first.width * second.height != second.width * first.height
    batch = batch_of(little, sample)
    assert batch.sampling_logprobs is not None
    sampled = batch.sampling_logprobs[batch.loss_mask]
    assert len(sampled) > 2
    torch.testing.assert_close(sampled, plain_logprobs(little, batch), atol=5e-6, rtol=0)


@pytest.mark.parametrize("refill", [False, True])
def test_trainer_and_engine_agree_on_dialogs_of_no_to_four_pictures(
    little: Little, refill: bool
) -> None:
    """Sampled side by side, so that rows are padded, or joining one another at different turns; and
    positions are the model's own.
    """
    engine = HFEngine(
        little.model, little.codec, little.images, max_batch_size=3 if refill else 8, refill=refill
    )
    samples = dialogs(
        little, engine, pictures=[0, 1, 1, 2, 2, 4], crops=[0, 0, 2, 1, 2, 0], num_turns=3
    )
    assert [len(sample.views) for sample in samples] == [0, 1, 3, 3, 4, 4]
    batch = batch_of(little, *samples)
    assert batch.sampling_logprobs is not None
    policy = Policy.from_pretrained(little.folder, dtype="float32")
    used: list[torch.Tensor | None] = []
    policy.family.language_model(policy.model).register_forward_pre_hook(
        lambda *called: used.append(called[2].get("position_ids")), with_kwargs=True
    )
    with torch.no_grad():
        scored, _ = policy.response_logprobs(batch, banned_ids=little.codec.banned_ids)
    gaps = (scored - batch.sampling_logprobs)[batch.loss_mask].abs()
    assert gaps.mean() <= 1e-5
    assert gaps.max() <= 1e-4
    (own,) = used
    assert own is not None
    assert torch.equal(own, policy.family.position_ids(policy.positions(batch)))


def test_the_policys_logprobs_are_the_models(little: Little) -> None:
    engine = HFEngine(little.model, little.codec, little.images)
    batch = batch_of(little, two_turns(little, engine))
    policy = Policy.from_pretrained(little.folder, dtype="float32")
    with torch.no_grad():
        scored, _ = policy.response_logprobs(batch, banned_ids=little.codec.banned_ids)
    wanted = plain_logprobs(little, batch)
    torch.testing.assert_close(scored[batch.loss_mask], wanted, atol=5e-6, rtol=0)


def test_pixels_are_bit_for_bit_the_processors(little: Little, tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (140, 300, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "a.png")
    view = little.images.whole(tmp_path / "a.png")
    processor = AutoImageProcessor.from_pretrained(little.folder, backend="pil")
    alone = processor(images=[little.images.image(view)], return_tensors="pt")["pixel_values"]
    ours = little.images.pixels(view).pixel_values
    assert ours.dtype == alone.dtype
    assert torch.equal(ours, alone)


@pytest.mark.parametrize("size", [(900, 300), (448, 448), (40, 33), (31, 700), (1000, 600)])
def test_tokens_are_counted_as_the_model_wants_them(
    little: Little, size: tuple[int, int], tmp_path: Path
) -> None:
    Image.new("RGB", size, "red").save(tmp_path / "a.png")
    view = little.images.whole(tmp_path / "a.png")
    processor = AutoImageProcessor.from_pretrained(little.folder, backend="pil")
    made = processor(images=[Image.new("RGB", size, "red")], return_tensors="pt")
    assert made["pixel_values"].shape == little.images.pixels(view).pixel_values.shape
    assert little.images.grid_thw(view) == (
        tuple(made["image_grid_thw"][0].tolist())
        if "image_grid_thw" in made
        else (int(made["num_patches"][0]), 4, 4)  # tiles of 56 px
    )
    policy = Policy.from_pretrained(little.folder, dtype="float32")
    grid = torch.tensor([little.images.grid_thw(view)])
    (features,) = policy.encode_views(made["pixel_values"], grid)
    assert features.shape == (little.images.num_tokens(view), policy.feature_width)


def test_a_crop_of_a_wide_picture_is_cut_to_whole_tokens(little: Little) -> None:
    view = crop(little, little.images.whole(little.picture))
    factor = little.images.sizing.factor
    assert factor == (32 if "qwen3" in little.folder.name else 28)
    assert view.size.width % factor == view.size.height % factor == 0
    boxes = little.images.sizing.token_boxes(view.size)
    assert len(boxes) == little.images.num_tokens(view)
    assert all(box.is_inside(view.size) for box in boxes)


def test_right_coordinates_of_the_familys_frame_are_rewarded(little: Little) -> None:
    image = little.images.whole(little.picture)
    assert image.frame is family_of(little.folder).frame
    target = Box(800, 20, 860, 60)
    place = image.to_text(target.center)
    if image.frame is TextFrame.PERMILLE:
        assert (place.x, place.y) == (round(1000 * 830 / 900), round(1000 * 40 / 300))
    written = render_point(place)
    call = ToolCall("search_coordinate", {"coordinate": [place.x, place.y]})
    seen = little.zoom.call(call.arguments, scene=Scene((image,)))
    rollout = Rollout(
        TaskRecord(
            id="a", question="Where?", answer="", images=(little.picture,), targets=(target,),
            scorer=PointInBox(target),
        ),
        prompt_ids=(1,),
        prompt_views=(image,),
        turns=(
            Turn((1,), (0.0,), render_tool_turn(f"At {written}.", call), views=seen.views,
                 focus=seen.focus),
            Turn((1,), (0.0,), render_answer_turn(f"At {written}.", written)),
        ),
        stop_reason=StopReason.ANSWERED,
    )  # fmt: skip
    assert target.contains(rollout.looks[0].point)
    assert [FormatReward()(rollout), GroundingReward()(rollout), AccuracyReward()(rollout)] == [
        1.0, 1.0, 1.0
    ]  # fmt: skip


def test_an_engine_that_cannot_run_the_family_refuses_to_be_made(
    little: Little, monkeypatch: pytest.MonkeyPatch
) -> None:
    family = family_of(little.folder)
    nowhere = replace(family, engines=())  # pyright: ignore[reportArgumentType]  a dataclass
    monkeypatch.setitem(known_families(), family.model_types[0], nowhere)
    folder, codec, images = str(little.folder), little.codec, little.images
    makers = {
        "hf": lambda: HFEngine(little.model, codec, images),
        "vllm": lambda: VLLMEngine(folder, codec, images),
        "server": lambda: ServerEngine(
            codec=codec, images=images, urls=["http://localhost:1"], folder=folder
        ),
    }
    for name, make in makers.items():
        with pytest.raises(ConfigError, match=f"^engine={name} cannot run {family.name}; "):
            make()


def test_a_view_by_hand_is_in_the_frame_it_is_given() -> None:
    view = ImageView(FileImage("a.png"), WIDE, Size(192, 64), frame=TextFrame.PERMILLE)
    assert view.to_original(Point(500, 500)) == Point(450, 150)
