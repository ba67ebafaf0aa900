"""A tiny model of each family with a wide picture, and a dialog of two turns on it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from transformers import AutoModelForImageTextToText

from vigorl.core.geometry import Point, Size
from vigorl.core.media import ImageView
from vigorl.core.protocols import Engine, GenerationRequest, SamplingParams, Scene
from vigorl.core.rollout import TrainingSample, Turn
from vigorl.data.collate import TrainingBatch, collate
from vigorl.data.encoding import ChatCodec
from vigorl.data.images import ImageStore
from vigorl.data.prompts import Message
from vigorl.families.lookup import known_families
from vigorl.models.tiny import TinySettings, make_tiny
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


def two_turns(little: Little, engine: Engine) -> TrainingSample:
    """A dialog as an engine samples it; the second turn comes after a crop."""
    return dialog(little, engine, name="turn", num_pictures=1, num_zooms=1)


def dialog(
    little: Little, engine: Engine, *, name: str, num_pictures: int, num_zooms: int
) -> TrainingSample:
    """One turn, and another after each crop of the first picture."""
    whole = little.images.whole(little.picture)
    views = (whole,) * num_pictures
    said = Message("user", "<image>" * num_pictures + "Where?", num_pictures)
    ids = tuple(little.codec.prompt_ids([said]))
    mask, logprobs = [0] * len(ids), [0.0] * len(ids)
    for number in range(num_zooms + 1):
        sampling = SamplingParams(max_new_tokens=9)
        engine.submit(GenerationRequest(f"{name} {number}", ids, views, sampling, seed=number))
        (completion,) = engine.poll()
        ids += completion.token_ids
        mask += [1] * len(completion.token_ids)
        logprobs += completion.logprobs
        if number < num_zooms:
            zoomed = crop(little, whole)
            views = (*views, zoomed)
            turn = Turn(completion.token_ids, completion.logprobs, "")
            more = little.codec.observation_ids(["Here:", zoomed], after=turn)
            ids += tuple(more)
            mask += [0] * len(more)
            logprobs += [0.0] * len(more)
    return TrainingSample(ids, tuple(mask), views, tuple(logprobs))


def batch_of(little: Little, *samples: TrainingSample) -> TrainingBatch:
    codec = little.codec
    return collate(samples, images=little.images, pad_id=codec.pad_id, image_id=codec.image_id)


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
