"""Batches by hand: every tensor of two samples, written out."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from vigorl.core.geometry import Size
from vigorl.core.media import FileImage, ImageView
from vigorl.core.rollout import TrainingSample
from vigorl.data.collate import collate
from vigorl.data.images import ImageStore

PAD, IMAGE = 0, 5
TWO_TOKENS = ImageView(
    FileImage("never-opened.png"), Size(560, 280), Size(56, 28)
)  # 28 px per token


def samples() -> list[TrainingSample]:
    return [
        TrainingSample(
            (8, IMAGE, 6), (0, 0, 1), (TWO_TOKENS,), (0.0, 0.0, -1.5), (0.0, 0.0, 2.0), 0.5
        ),
        TrainingSample((8, 7), (0, 1), (), (0.0, -0.25), (0.0, -2.0), 0.25),
    ]


def test_two_samples_by_hand(store: ImageStore) -> None:
    batch = collate(samples(), images=store, pad_id=PAD, image_id=IMAGE, with_pixels=False)
    assert batch.input_ids.tolist() == [[8, 5, 5, 6], [8, 7, 0, 0]]
    assert batch.attention_mask.tolist() == [[1, 1, 1, 1], [1, 1, 0, 0]]
    assert batch.loss_mask.tolist() == [[False, False, False, True], [False, True, False, False]]
    assert batch.sampling_logprobs is not None
    assert batch.sampling_logprobs.tolist() == [[0, 0, 0, -1.5], [0, -0.25, 0, 0]]
    assert batch.advantages is not None
    assert batch.advantages.tolist() == [[0, 0, 0, 2], [0, -2, 0, 0]]
    assert batch.token_weight.tolist() == [0.5, 0.25]
    assert batch.image_grid_thw.tolist() == [[1, 2, 4]]  # 28 x 56 px in patches of 14
    assert (batch.views, batch.pixel_values) == ((TWO_TOKENS,), None)


def test_text_only_supervised_batch_has_neither_pictures_nor_logprobs(store: ImageStore) -> None:
    batch = collate([TrainingSample((8, 7), (0, 1), ())], images=store, pad_id=PAD, image_id=IMAGE)
    assert batch.sampling_logprobs is None
    assert batch.pixel_values is None
    assert batch.image_grid_thw.shape == (0, 3)


def test_pixels_come_in_the_order_of_the_placeholders(
    store: ImageStore, picture: Callable[..., str]
) -> None:
    views = [store.whole(picture("a.png")), store.whole(picture("bb.png", (300, 200)))]
    rows = [TrainingSample((IMAGE, 7), (0, 1), (view,)) for view in views]
    batch = collate(rows, images=store, pad_id=PAD, image_id=IMAGE)
    assert batch.pixel_values is not None
    blocks = [store.pixels(view) for view in views]
    assert torch.equal(batch.pixel_values, torch.cat([block.pixel_values for block in blocks]))
    assert batch.image_grid_thw.tolist() == [list(block.grid_thw) for block in blocks]
    # as many placeholders as the vision tower gives features: patches / merge^2
    assert (batch.input_ids == IMAGE).sum() * 4 == len(batch.pixel_values)


def test_a_guest_has_no_logprobs_beside_those_who_have(store: ImageStore) -> None:
    guest = TrainingSample((8, 7), (0, 1), (), advantages=(0.0, 1.0), is_guest=True)
    batch = collate(
        [samples()[0], guest], images=store, pad_id=PAD, image_id=IMAGE, with_pixels=False
    )
    assert batch.is_guest is not None
    assert batch.is_guest.tolist() == [False, True]
    assert batch.sampling_logprobs is not None
    assert batch.sampling_logprobs.tolist() == [[0, 0, 0, -1.5], [0, 0, 0, 0]]


def test_to_moves_tensors_and_keeps_the_rest(store: ImageStore) -> None:
    batch = collate(samples(), images=store, pad_id=PAD, image_id=IMAGE, with_pixels=False)
    moved = batch.to("meta")
    assert {moved.input_ids.device.type, moved.loss_mask.device.type} == {"meta"}
    assert (moved.views, moved.pixel_values) == (batch.views, None)
    assert batch.input_ids.device.type == "cpu"


def test_wrong_batches_are_refused(store: ImageStore) -> None:
    def make(*rows: TrainingSample) -> None:
        collate(rows, images=store, pad_id=PAD, image_id=IMAGE, with_pixels=False)

    with pytest.raises(ValueError, match="no samples"):
        make()
    with pytest.raises(ValueError, match="some have none"):
        make(samples()[0], TrainingSample((8, 7), (0, 1), ()))
    with pytest.raises(ValueError, match="1 image placeholders in the ids, but 0 pictures"):
        make(TrainingSample((IMAGE,), (0,), ()))
