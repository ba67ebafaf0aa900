"""What holds for every picture size, text, trace and batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from hypothesis import assume, given
from hypothesis import strategies as st

from tests.builders import task
from tests.unit.data.conftest import CONTROLS, make_processor, make_tokenizer
from vigorl.core.geometry import Box, FrameMap, Point, Size
from vigorl.core.media import FileImage, ImageView
from vigorl.core.records import TraceRecord
from vigorl.core.rollout import TrainingSample
from vigorl.core.scoring import PointInBox
from vigorl.core.trace import Step, ToolCall, Trace, find_points
from vigorl.data.collate import collate
from vigorl.data.datasets import split_by_image
from vigorl.data.encoding import ChatCodec, expand_image_pads, expand_parallel
from vigorl.data.images import ImageStore
from vigorl.data.prompts import Message
from vigorl.data.rescale import rescaled_trace
from vigorl.families.qwen_vl import CHAT, Qwen25VL
from vigorl.rollout.tools.arguments import view_size

CODEC = ChatCodec(make_tokenizer(), CHAT)
STORE = ImageStore(make_processor(), family=Qwen25VL())
IMAGE, PAD = CODEC.image_id, CODEC.pad_id
CONTROL_IDS = set(range(len(CONTROLS)))

sizes = st.builds(Size, st.integers(1, 4000), st.integers(1, 4000))
any_text = st.lists(
    st.sampled_from([*CONTROLS, "\n", "user", "é", "日", "{", " "]) | st.text()
).map("".join)


@given(st.integers(1, 900), st.integers(1, 900))
def test_a_store_never_shows_what_an_engine_would_resize_again(width: int, height: int) -> None:
    assume(max(width, height) <= 16 * min(width, height))
    wished = view_size(Box(0, 0, width, height), view_px=84)
    size = STORE.fit(ImageView(FileImage("x"), Size(width, height), wished)).size
    assert STORE.sizing.fit(size) == size


@given(any_text)
def test_any_text_survives_and_never_becomes_a_control_token(text: str) -> None:
    ids = CODEC.prefix_ids(text)
    assert not CONTROL_IDS.intersection(ids)
    assert CODEC.decode(ids) == text


@given(any_text, any_text)
def test_a_chat_has_the_control_tokens_of_its_layout_and_no_more(system: str, user: str) -> None:
    assume("<image>" not in system + user)
    ids = CODEC.prompt_ids([Message("system", system), Message("user", "<image>" + user, 1)])
    start, end = CONTROLS.index("<|im_start|>"), CODEC.end_id
    opened, closed = CONTROLS.index("<|vision_start|>"), CONTROLS.index("<|vision_end|>")
    expected = [start, end, start, opened, IMAGE, closed, end, start]
    assert [i for i in ids if i in CONTROL_IDS] == expected


@given(any_text)
def test_a_refusal_never_shows_a_picture(text: str) -> None:
    assume(not text.endswith(":\n<image>"))  # tools never quote the policy at a line's end
    ids = CODEC.observation_ids([text])
    start, end = CONTROLS.index("<|im_start|>"), CODEC.end_id
    assert [i for i in ids if i in CONTROL_IDS] == [start, end, start]


views = st.builds(
    lambda columns, rows: ImageView(FileImage("x"), Size(999, 999), Size(28 * columns, 28 * rows)),
    st.integers(1, 4), st.integers(1, 4),
)  # fmt: skip
text_ids = st.integers(len(CONTROLS), 300)


@st.composite
def samples(draw: Any, *, has_logprobs: bool) -> TrainingSample:
    shown = draw(st.lists(views, max_size=3))
    texts = [draw(st.lists(text_ids, min_size=1, max_size=5)) for _ in range(len(shown) + 1)]
    ids = list(texts[0])
    for text in texts[1:]:
        ids += [IMAGE, *text]
    mask = [0 if i == IMAGE else draw(st.integers(0, 1)) for i in ids]
    logprobs = [float(-i) * m for i, m in zip(ids, mask, strict=True)]
    return TrainingSample(
        tuple(ids), tuple(mask), tuple(shown),
        tuple(logprobs) if has_logprobs else (),
        tuple(draw(st.sampled_from([-1.5, 0.0, 2.0])) * m for m in mask),
        draw(st.sampled_from([0.25, 1.0])),
    )  # fmt: skip


def unpadded(row: torch.Tensor, attention: torch.Tensor) -> list[Any]:
    return row[attention.bool()].tolist()


@given(st.data(), st.booleans())
def test_unpadding_a_batch_gives_the_samples_back(data: st.DataObject, has_logprobs: bool) -> None:
    rows = data.draw(st.lists(samples(has_logprobs=has_logprobs), min_size=1, max_size=4))
    batch = collate(rows, images=STORE, pad_id=PAD, image_id=IMAGE, with_pixels=False)
    for i, sample in enumerate(rows):
        counts = [STORE.num_tokens(view) for view in sample.views]
        attention = batch.attention_mask[i]
        ids = expand_image_pads(sample.token_ids, counts, image_id=IMAGE)
        assert unpadded(batch.input_ids[i], attention) == ids
        assert len(ids) == len(sample.token_ids) + sum(counts) - len(counts)
        mask = expand_parallel(sample.token_ids, sample.loss_mask, counts, image_id=IMAGE, fill=0)
        assert unpadded(batch.loss_mask[i].int(), attention) == mask
        assert batch.loss_mask[i].sum() == sum(sample.loss_mask)  # no padding, no picture
        if batch.sampling_logprobs is not None:
            assert batch.sampling_logprobs[i].sum() == sum(sample.sampling_logprobs)
        assert batch.advantages is not None
        assert batch.advantages[i].sum() == sum(sample.advantages)
    assert (batch.sampling_logprobs is None) != has_logprobs
    assert batch.views == tuple(view for sample in rows for view in sample.views)
    # every placeholder has its feature: patches over merge^2
    assert (batch.input_ids == IMAGE).sum() == batch.image_grid_thw.prod(dim=1).sum() // 4


def shown_at(size: Size) -> ImageView:
    return ImageView(FileImage("x"), Size(640, 427), size)


@given(st.data(), sizes, sizes)
def test_rescaled_points_stay_on_the_picture_and_near_their_place(
    data: st.DataObject, frame: Size, target: Size
) -> None:
    coordinate = (st.integers(0, frame.width - 1), st.integers(0, frame.height - 1))
    points = data.draw(st.lists(st.tuples(*coordinate), min_size=1, max_size=4))
    text = " then ".join(f"({x}, {y})" for x, y in points)
    calls = [Step(text, ToolCall("look", {"coordinate": list(point)})) for point in points]
    record = TraceRecord(task(scorer=PointInBox()), Trace((*calls, Step(text)), text), frame=frame)
    trace = rescaled_trace(record, image=shown_at(target))
    frames = FrameMap(frame, target)
    for moved in (find_points(trace.steps[-1].think), find_points(trace.answer)):
        assert len(moved) == len(points)
        for old, new in zip(points, moved, strict=True):
            exact = frames.point(Point(*old))
            assert new.is_inside(target)
            assert max(abs(new.x - exact.x), abs(new.y - exact.y)) <= 1.0
    for step, expected in zip(trace.steps, find_points(trace.answer), strict=False):
        assert step.tool_call is not None
        assert step.tool_call.arguments == {"coordinate": [expected.x, expected.y]}


@given(st.data(), sizes, sizes)
def test_a_call_is_on_the_picture_before_and_after_rescaling_or_never(
    data: st.DataObject, frame: Size, target: Size
) -> None:
    numbers = [data.draw(st.integers(-50, side + 50)) for side in (frame.width, frame.height) * 2]
    steps = (Step("x", ToolCall("a", {"bbox": numbers, "coordinate": numbers[:2]})), Step("y"))
    moved = rescaled_trace(
        TraceRecord(task(), Trace(steps, "z"), frame=frame), image=shown_at(target)
    )
    call = moved.steps[0].tool_call
    assert call is not None
    new_point, new_box = call.arguments["coordinate"], call.arguments["bbox"]
    assert isinstance(new_point, list)
    assert isinstance(new_box, list)
    assert Point(*new_point).is_inside(target) == Point(*numbers[:2]).is_inside(frame)
    if numbers[0] < numbers[2] and numbers[1] < numbers[3]:
        assert Box(*new_box).is_inside(target) == Box(*numbers).is_inside(frame)


@given(
    st.lists(st.lists(st.integers(0, 12), min_size=1, max_size=3), min_size=2, max_size=30),
    st.floats(0.01, 0.9),
    st.integers(0, 5),
)
def test_no_picture_is_on_both_sides(pictures: Sequence[list[int]], frac: float, seed: int) -> None:
    records = [task(id=str(i), images=tuple(map(str, p))) for i, p in enumerate(pictures)]
    joined = [set(p) for p in pictures]
    reached = joined[0]
    for _ in joined:
        reached = reached.union(*(p for p in joined if p & reached))
    assume(len(reached) < len(set[int]().union(*joined)))  # not one group of all
    train, held = split_by_image(records, holdout_frac=frac, seed=seed)
    assert train
    assert held
    assert sorted(r.id for r in train + held) == sorted(r.id for r in records)
    assert not {p for r in train for p in r.images} & {p for r in held for p in r.images}


@given(st.integers(28, 300), st.integers(28, 300), st.integers(0, 2**32 - 1))
def test_pixels_equal_the_processors_own_for_any_picture(
    width: int, height: int, seed: int
) -> None:
    import tempfile

    from PIL import Image

    noise = np.random.default_rng(seed).integers(0, 256, (height, width, 3)).astype(np.uint8)
    processor = make_processor()
    with tempfile.NamedTemporaryFile(suffix=".png") as file:
        Image.fromarray(noise).save(file.name)
        store = ImageStore(processor, family=Qwen25VL())
        block = store.pixels(store.whole(file.name))
    alone = processor(images=[Image.fromarray(noise)], return_tensors="pt")
    assert torch.equal(block.pixel_values, alone["pixel_values"])
    assert list(block.grid_thw) == alone["image_grid_thw"][0].tolist()
