"""What every family must get right; a new one is one more entry by itself.

The two pictures are of unequal shape, and the second comes in the second turn, on top of what the
engine keeps of the first.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from transformers import AutoImageProcessor, AutoModelForImageTextToText

from vigorl.core.geometry import Box, Point, Size
from vigorl.core.media import FileImage, ImageView, Region, TextFrame
from vigorl.core.protocols import Completion, GenerationRequest, SamplingParams, Scene
from vigorl.core.records import AnswerKind, TaskRecord
from vigorl.core.rewards.accuracy import AccuracyReward
from vigorl.core.rewards.format import FormatReward
from vigorl.core.rewards.grounding import GroundingReward
from vigorl.core.rollout import Rollout, StopReason, TrainingSample, Turn
from vigorl.core.trace import ToolCall, render_answer_turn, render_point, render_tool_turn
from vigorl.data.collate import TrainingBatch, collate
from vigorl.data.encoding import ChatCodec
from vigorl.data.images import ImageStore
from vigorl.data.prompts import Message
from vigorl.families.lookup import family_of, known_families
from vigorl.models.policy import Policy
from vigorl.models.tiny import TinySettings, make_tiny
from vigorl.rollout.engines.hf import HFEngine
from vigorl.rollout.tools.zoom_point import ZoomPoint

WIDE = Size(900, 300)
SMALL: dict[str, Any] = {"hidden": 64, "layers": 3, "ffn": 96, "vision_hidden": 64}


@dataclass(frozen=True)
class Little:
    """A tiny model of a family, what goes with it, and a wide picture."""

    folder: Path
    codec: ChatCodec
    images: ImageStore
    picture: str

    @property
    def model(self) -> Any:
        return AutoModelForImageTextToText.from_pretrained(self.folder).eval()

    @property
    def zoom(self) -> ZoomPoint:
        return ZoomPoint(window_px=200, view_px=180)  # no multiple of any family's tokens


@pytest.fixture(scope="module", params=sorted(known_families()))
def little(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Little:
    folder = tmp_path_factory.mktemp(request.param)
    settings = TinySettings(model_type=request.param, max_pixels=200 * 200, **SMALL)
    make_tiny(folder, corpus=["Point, zoom, then answer."], settings=settings, seed=3)
    Image.effect_noise((WIDE.width, WIDE.height), 90).convert("RGB").save(folder / "wide.png")
    codec, images = ChatCodec.from_pretrained(folder), ImageStore.from_pretrained(folder)
    return Little(folder, codec, images, str(folder / "wide.png"))


def crop(little: Little, whole: ImageView) -> ImageView:
    arguments = little.zoom.arguments_at(Point(450, 150), image=whole)
    (view,) = little.zoom.call(arguments, scene=Scene((whole,))).views
    return little.images.fit(view)


def two_turns(little: Little) -> tuple[TrainingSample, list[Completion]]:
    """A dialog as the hf engine samples it, and what it said of each turn."""
    engine = HFEngine(little.model, little.codec, little.images)
    whole = little.images.whole(little.picture)
    views = (whole,)
    ids = tuple(little.codec.prompt_ids([Message("user", "<image>Where?", 1)]))
    mask, logprobs, said = [0] * len(ids), [0.0] * len(ids), []
    for number in range(2):
        sampling = SamplingParams(max_new_tokens=9)
        engine.submit(GenerationRequest(f"turn {number}", ids, views, sampling, seed=number))
        (completion,) = engine.poll()
        said.append(completion)
        ids += completion.token_ids
        mask += [1] * len(completion.token_ids)
        logprobs += completion.logprobs
        if number == 0:
            zoomed = crop(little, whole)
            views = (whole, zoomed)
            add_end = not completion.is_finished
            more = little.codec.observation_ids(["Here:", zoomed], add_end=add_end)
            ids += tuple(more)
            mask += [0] * len(more)
            logprobs += [0.0] * len(more)
    return TrainingSample(ids, tuple(mask), views, tuple(logprobs)), said


def batch_of(little: Little, sample: TrainingSample) -> TrainingBatch:
    codec = little.codec
    return collate([sample], images=little.images, pad_id=codec.pad_id, image_id=codec.image_id)


@torch.no_grad()
def plain_logprobs(little: Little, batch: TrainingBatch) -> torch.Tensor:
    """One forward pass of transformers' model over the whole dialog."""
    logits = little.model(
        input_ids=batch.input_ids,
        attention_mask=batch.attention_mask,
        pixel_values=batch.pixel_values,
        image_grid_thw=batch.image_grid_thw,
        mm_token_type_ids=(batch.input_ids == little.codec.image_id).int(),
    ).logits[:, :-1]
    logits[..., list(little.codec.banned_ids)] = -torch.inf
    scored = logits.log_softmax(-1).gather(-1, batch.input_ids[:, 1:, None])[..., 0]
    return torch.nn.functional.pad(scored, (1, 0))[batch.loss_mask]


def test_the_engines_logprobs_are_those_of_one_full_forward_pass(little: Little) -> None:
    sample, said = two_turns(little)
    first, second = sample.views
    assert (first.size.width, first.size.height) != (second.size.width, second.size.height)
    batch = batch_of(little, sample)
    sampled = torch.tensor([value for completion in said for value in completion.logprobs])
    assert len(sampled) > 2
    torch.testing.assert_close(sampled, plain_logprobs(little, batch), atol=5e-6, rtol=0)


def test_the_policys_logprobs_are_the_models(little: Little) -> None:
    batch = batch_of(little, two_turns(little)[0])
    policy = Policy.from_pretrained(little.folder, dtype="float32")
    with torch.no_grad():
        scored, _ = policy.response_logprobs(batch, banned_ids=little.codec.banned_ids)
    wanted = plain_logprobs(little, batch)
    torch.testing.assert_close(scored[batch.loss_mask], wanted, atol=5e-6, rtol=0)


@pytest.mark.parametrize("size", [(900, 300), (448, 448), (40, 33), (31, 700), (1000, 600)])
def test_tokens_are_counted_as_the_model_wants_them(
    little: Little, size: tuple[int, int], tmp_path: Path
) -> None:
    Image.new("RGB", size, "red").save(tmp_path / "a.png")
    view = little.images.whole(tmp_path / "a.png")
    processor = AutoImageProcessor.from_pretrained(little.folder, backend="pil")
    made = processor(images=[Image.new("RGB", size, "red")], return_tensors="pt")
    assert made["image_grid_thw"].tolist() == [list(little.images.grid_thw(view))]
    policy = Policy.from_pretrained(little.folder, dtype="float32")
    (features,) = policy.encode_views(made["pixel_values"], made["image_grid_thw"])
    assert features.shape == (little.images.num_tokens(view), policy.feature_width)
    assert policy.num_patches(view.size) == len(made["pixel_values"])


def test_a_crop_of_a_wide_picture_is_cut_to_whole_tokens(little: Little) -> None:
    view = crop(little, little.images.whole(little.picture))
    factor = little.images.sizing.factor
    assert factor == (32 if "qwen3" in little.folder.name else 28)
    assert view.size.width % factor == view.size.height % factor == 0
    assert little.images.pixels(view).grid_thw == little.images.grid_thw(view)


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
            answer_kind=AnswerKind.POINT, answer_box=target,
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
    assert isinstance(rollout.looks[0], Region)
    assert target.contains(rollout.looks[0].point)
    assert [FormatReward()(rollout), GroundingReward()(rollout), AccuracyReward()(rollout)] == [
        1.0, 1.0, 1.0
    ]  # fmt: skip


def test_a_view_by_hand_is_in_the_frame_it_is_given() -> None:
    view = ImageView(FileImage("a.png"), WIDE, Size(192, 64), frame=TextFrame.PERMILLE)
    assert view.to_original(Point(500, 500)) == Point(450, 150)
