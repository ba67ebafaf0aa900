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
SMALL: dict[str, Any] = {"hidden": 64, "layers": 4, "ffn": 96, "vision_hidden": 64}


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
    (sample,) = dialogs(little, engine, pictures=[1], crops=[1], num_turns=2)
    return sample


def dialogs(
    little: Little, engine: Engine, *, pictures: list[int], crops: list[int], num_turns: int
) -> list[TrainingSample]:
    """Dialogs sampled side by side, each with that many pictures in its prompt, and that many crops
    of the picture after its first turns.
    """
    whole, codec = little.images.whole(little.picture), little.codec
    zoomed = crop(little, whole)
    views = [(whole,) * number for number in pictures]
    said = [Message("user", "<image>" * n + "Where? " * (n + 1), n) for n in pictures]
    ids = [tuple(codec.prompt_ids([one])) for one in said]
    masks, logprobs = [[0] * len(one) for one in ids], [[0.0] * len(one) for one in ids]
    for turn in range(num_turns):
        for i in range(len(said)):
            sampling = SamplingParams(max_new_tokens=9 - i)
            engine.submit(GenerationRequest(f"{turn} {i}", ids[i], views[i], sampling, seed=turn))
        while engine.num_in_flight:
            for completion in engine.poll():
                i = int(completion.request_id.split()[1])
                ids[i] += completion.token_ids
                masks[i] += [1] * len(completion.token_ids)
                logprobs[i] += completion.logprobs
                if turn == num_turns - 1:
                    continue
                shown = [zoomed] if turn < crops[i] else []
                sampled = Turn(completion.token_ids, completion.logprobs, "")
                more = codec.observation_ids(["Here:", *shown], after=sampled)
                ids[i] += tuple(more)
                masks[i] += [0] * len(more)
                logprobs[i] += [0.0] * len(more)
                views[i] += tuple(shown)
    parts = zip(ids, map(tuple, masks), views, map(tuple, logprobs), strict=True)
    return [TrainingSample(*one) for one in parts]


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
