"""Every kind of picture comes out as the RGB that a person sees; broken ones name the record."""

from __future__ import annotations

import io
import struct
import sys
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from PIL import Image

from tests.unit.data.conftest import make_processor
from vigorl.core.errors import ConfigError, DataError
from vigorl.core.geometry import Box, Point, Size
from vigorl.core.media import (
    GREY,
    Dot,
    FileImage,
    Fill,
    GaussianNoise,
    ImageView,
    Noise,
    Patches,
    Source,
    VideoFrame,
)
from vigorl.data.images import FORMATS, ImageStore, open_image, open_source, read_size
from vigorl.families.qwen_vl import Qwen25VL

WHITE, RED = (255, 255, 255), (255, 0, 0)


def rgb(image: Image.Image, at: tuple[int, int] = (0, 0)) -> tuple[int, ...]:
    value = image.getpixel(at)
    assert isinstance(value, tuple)
    return tuple(int(channel) for channel in value)


@pytest.mark.parametrize(
    ("mode", "color", "expected"),
    [
        ("RGB", RED, RED),
        ("L", 100, (100, 100, 100)),
        ("1", 1, WHITE),
        ("RGBA", (255, 0, 0, 0), WHITE),  # invisible red on white is white
        ("RGBA", (255, 0, 0, 255), RED),
        ("LA", (0, 0), WHITE),
        ("I;16", 0x8000, (128, 128, 128)),  # 16 bits -> the upper 8, not clipped at 255
    ],
)
def test_any_mode_becomes_rgb(tmp_path: Path, mode: str, color: object, expected: object) -> None:
    Image.new(mode, (3, 2), color).save(tmp_path / "a.png")  # pyright: ignore[reportArgumentType]
    image = open_image(tmp_path / "a.png")
    assert (image.mode, image.size, rgb(image)) == ("RGB", (3, 2), expected)


@pytest.mark.parametrize(
    ("dtype", "brightest", "at_half"),
    [
        ("uint16", 4095, 127),  # 12 bits in 16: 2047 >> 4
        ("uint16", 65535, 127),  # 32767 >> 8
        ("int32", 255, 127),  # 8 bits in 32
        ("int32", 65535, 127),
        ("int32", 2**31 - 1, 63),  # 31 bits count as 32: 2**30 >> 24
    ],
)
def test_grey_of_many_bits_fills_the_range(
    tmp_path: Path, dtype: str, brightest: int, at_half: int
) -> None:
    values = np.array([[0, brightest // 2, brightest]], dtype=dtype)
    Image.fromarray(values).save(tmp_path / "a.tif")
    shown = open_image(tmp_path / "a.tif")
    assert [rgb(shown, (x, 0))[0] for x in (0, 1)] == [0, at_half]


def deep_png(values: np.ndarray) -> bytes:
    """[rows, columns, channels] of 16 bits; Pillow writes none."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        sum_ = zlib.crc32(kind + body)
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", sum_)

    rows, columns, channels = values.shape
    lines = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    kind = {2: 4, 3: 2, 4: 6}[channels]
    header = struct.pack(">IIBBBBB", columns, rows, 16, kind, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(lines)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def deep_tiff(values: np.ndarray, *, order: str = "<", is_packed: bool = False) -> bytes:
    rows, columns, channels = values.shape
    data = values.astype(f"{order}u2").tobytes()
    data = zlib.compress(data) if is_packed else data
    num_entries = 9 + (channels > 3)
    # the directory ends there; behind it the bits of each channel, then the pixels
    end = 8 + 2 + 12 * num_entries + 4
    entries = [
        (256, columns), (257, rows), (258, end), (259, 8 if is_packed else 1), (262, 2),
        (273, end + 2 * channels), (277, channels), (278, rows), (279, len(data)), (338, 2),
    ]  # fmt: skip
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}IH", 8, num_entries)
    for tag, value in entries[:num_entries]:
        kind, count = (3, channels) if tag == 258 else (4, 1)
        head += struct.pack(f"{order}HHII", tag, kind, count, value)
    return head + struct.pack(f"{order}I{channels}H", 0, *[16] * channels) + data


def deep_ppm(values: np.ndarray) -> bytes:
    rows, columns, _ = values.shape
    return f"P6\n{columns} {rows}\n65535\n".encode() + values.astype(">u2").tobytes()


@pytest.mark.parametrize(
    ("brightest", "expected"),
    [
        (4095, [[16, 128, 255], [0, 0, 0]]),  # 12 bits: 256, 2048 and 4095 >> 4
        (16383, [[4, 32, 255], [0, 0, 0]]),  # 14 bits: >> 6
        (65535, [[1, 8, 255], [0, 0, 0]]),
    ],
)
@pytest.mark.parametrize(
    "made",
    [
        deep_png,
        deep_tiff,
        partial(deep_tiff, order=">"),
        partial(deep_tiff, is_packed=True),  # by libtiff
        deep_ppm,
    ],
)
def test_colours_of_many_bits_fill_the_range(
    tmp_path: Path, made: Callable[..., bytes], brightest: int, expected: list[list[int]]
) -> None:
    values = np.array([[[256, 2048, brightest], [0, 0, 0]]])
    (tmp_path / "a.jpg").write_bytes(made(values))
    assert np.asarray(open_image(tmp_path / "a.jpg")).tolist() == [expected]


@pytest.mark.parametrize("made", [deep_png, deep_tiff])
@pytest.mark.parametrize("opaque", [4095, 65535])
def test_opacity_of_many_bits_has_a_range_of_its_own(
    tmp_path: Path, made: Callable[..., bytes], opaque: int
) -> None:
    clear, red = [0, 0, 0, 0], [4095, 0, 2048, opaque]
    (tmp_path / "a").write_bytes(made(np.array([[clear, red]])))
    assert np.asarray(open_image(tmp_path / "a")).tolist() == [[[255] * 3, [255, 0, 128]]]


def test_grey_with_opacity_of_many_bits(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(deep_png(np.array([[[2048, 65535], [4095, 65535]]])))
    assert np.asarray(open_image(tmp_path / "a.png")).tolist() == [[[128] * 3, [255] * 3]]


def test_grey_below_black_is_refused(tmp_path: Path) -> None:
    Image.fromarray(np.array([[-1, 5]], dtype=np.int32)).save(tmp_path / "a.tif")
    with pytest.raises(DataError, match="no fixed range; save the picture with 8 bits"):
        open_image(tmp_path / "a.tif")


@pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow's remarks on it
@pytest.mark.parametrize("format_", ["PNG", "WEBP", "JPEG"])
@pytest.mark.parametrize(
    "exif", [b"Exif\0\0nonsense", b"Exif\0\0MM\0*\xff\xff\xff\xff", b"\0", b"II*\0\x08\0\0\0\x09"]
)
def test_a_malformed_exif_block_is_no_reason_to_lose_the_picture(
    tmp_path: Path, format_: str, exif: bytes
) -> None:
    Image.new("RGB", (3, 2), WHITE).save(tmp_path / "a", format_, exif=exif)
    assert read_size(tmp_path / "a") == Size(3, 2)
    assert open_image(tmp_path / "a").size == (3, 2)


def test_only_formats_of_pictures_are_tried(tmp_path: Path) -> None:
    """An EPS is a program, which Pillow would hand to Ghostscript."""
    Image.new("RGB", (30, 20), RED).save(tmp_path / "a.jpg", "EPS")
    for read in (open_image, read_size):
        with pytest.raises(DataError, match="this is not a picture"):
            read(tmp_path / "a.jpg")
    assert set(Image.OPEN) >= set(FORMATS)


def test_palette_with_a_transparent_colour_is_white_there(tmp_path: Path) -> None:
    image = Image.new("P", (2, 1), 0)
    image.putpalette([255, 0, 0, 0, 0, 255])
    image.putpixel((1, 0), 1)
    image.save(tmp_path / "a.png", transparency=0)
    shown = open_image(tmp_path / "a.png")
    assert [rgb(shown, (x, 0)) for x in (0, 1)] == [WHITE, (0, 0, 255)]


def test_cmyk_jpeg_keeps_its_colour(tmp_path: Path) -> None:
    Image.new("CMYK", (16, 16), (0, 255, 255, 0)).save(tmp_path / "a.jpg")  # no cyan: red
    red, green, blue = rgb(open_image(tmp_path / "a.jpg"), (8, 8))
    assert red > 240
    assert max(green, blue) < 20


def test_float_pixels_are_refused(tmp_path: Path) -> None:
    Image.new("F", (2, 2), 0.5).save(tmp_path / "a.tiff")
    with pytest.raises(DataError, match="float pixels"):
        open_image(tmp_path / "a.tiff")


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tiff"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_turns_header_size_and_pixels_alike(
    tmp_path: Path, suffix: str, orientation: int
) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    upright = Image.new("RGB", (20, 12), WHITE)
    upright.paste(RED, (0, 0, 10, 6))  # the stored picture's upper left quarter
    path = tmp_path / f"a.{suffix}"
    upright.save(path, exif=exif)
    image = open_image(path)
    expected = (20, 12) if orientation < 5 else (12, 20)
    # EXIF 2.3: where the stored upper left corner is shown
    left, top = orientation in (1, 4, 5, 8), orientation in (1, 2, 5, 6)
    corner = (2 if left else expected[0] - 3, 2 if top else expected[1] - 3)
    assert image.size == expected
    assert read_size(path) == Size(*expected)
    red, green, blue = rgb(image, corner)
    assert red > 200
    assert max(green, blue) < 60


def broken_files() -> dict[str, tuple[bytes, str]]:
    whole = io.BytesIO()
    Image.effect_noise((64, 64), 50).save(whole, "JPEG")
    return {
        "empty.jpg": (b"", "0 bytes"),
        "text.jpg": (b"this is no picture at all", "not a picture"),
        "cut.jpg": (whole.getvalue()[: len(whole.getvalue()) // 2], "damaged"),
    }


@pytest.mark.parametrize("name", ["empty.jpg", "text.jpg", "cut.jpg"])
def test_broken_files_name_the_file_and_the_record(tmp_path: Path, name: str) -> None:
    content, reason = broken_files()[name]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=reason) as caught:
        open_image(tmp_path / name, source="train.jsonl:7")
    assert name in str(caught.value)
    assert "train.jsonl:7" in str(caught.value)


def test_missing_file_and_folder_are_data_errors(tmp_path: Path) -> None:
    for path in (tmp_path / "none.jpg", tmp_path):
        with pytest.raises(DataError, match="no such picture"):
            open_image(path)


def test_a_stripe_no_processor_takes_is_named(tmp_path: Path, store: ImageStore) -> None:
    Image.new("RGB", (2010, 10)).save(tmp_path / "stripe.png")
    with pytest.raises(DataError, match=r"stripe.png: .*aspect ratio.*; named by rows:3"):
        store.whole(tmp_path / "stripe.png", source="rows:3")


def test_a_bomb_is_refused_before_it_is_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Image.new("1", (20_000, 16_000)).save(tmp_path / "bomb.png")  # 40 kB that would fill 1.3 GB
    with pytest.raises(DataError, match=r"too large|allowed"):
        open_image(tmp_path / "bomb.png")
    Image.new("1", (14_032, 19_843)).save(tmp_path / "map.png")  # ReasonMap's largest
    assert read_size(tmp_path / "map.png") == Size(14_032, 19_843)
    Image.new("L", (11, 11)).save(tmp_path / "small.png")
    monkeypatch.setattr("vigorl.data.pictures.MAX_PICTURE_PIXELS", 100)
    with pytest.raises(DataError, match="100 pixels allowed"):
        open_image(tmp_path / "small.png")


@pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow's remarks on damaged TIFF tags
@pytest.mark.parametrize("format_", ["PNG", "JPEG", "GIF", "TIFF", "BMP", "WEBP"])
def test_damaged_bytes_raise_data_errors_only(tmp_path: Path, format_: str) -> None:
    whole = io.BytesIO()
    Image.effect_noise((40, 30), 50).convert("RGB").save(whole, format_)
    dice = np.random.default_rng(0)
    for _ in range(60):
        content = bytearray(whole.getvalue())
        for position in dice.integers(0, len(content), 4):
            content[position] = dice.integers(0, 256)
        (tmp_path / "x").write_bytes(content[: dice.integers(1, len(content) + 1)])
        try:
            assert open_image(tmp_path / "x").mode == "RGB"
        except DataError:
            continue


def test_whole_picture_is_bit_identical_to_the_processor_alone(photographs: list[str]) -> None:
    processor = make_processor(max_pixels=300 * 300)
    store = ImageStore(processor, family=Qwen25VL())
    for path in photographs:
        alone = processor(images=[Image.open(path).convert("RGB")], return_tensors="pt")
        view = store.whole(path)
        block = store.pixels(view)
        assert torch.equal(block.pixel_values, alone["pixel_values"])
        assert list(block.grid_thw) == alone["image_grid_thw"][0].tolist()
        assert store.grid_thw(view) == block.grid_thw
        # merge 2 x 2: four patches make one token
        assert store.num_tokens(view) * 4 == len(block.pixel_values)


def test_the_processor_would_not_resize_our_picture_again(photographs: list[str]) -> None:
    processor = make_processor()
    store = ImageStore(processor, family=Qwen25VL())
    view = store.whole(photographs[0])
    again = processor(images=[store.image(view)], return_tensors="pt")
    assert torch.equal(again["pixel_values"], store.pixels(view).pixel_values)


def test_crop_is_cut_from_the_original_file(photographs: list[str], store: ImageStore) -> None:
    box = Box(100, 50, 212, 162)  # 112 x 112 original pixels at 112 x 112: not resized at all
    view = ImageView(FileImage(photographs[0]), Size(640, 427), Size(112, 112), box)
    original = np.asarray(Image.open(photographs[0]).convert("RGB"))
    assert np.array_equal(np.asarray(store.image(view)), original[50:162, 100:212])


def test_a_crop_below_the_processors_minimum_keeps_its_size(
    photographs: list[str], store: ImageStore
) -> None:
    box = Box(100, 50, 128, 78)
    view = ImageView(FileImage(photographs[0]), Size(640, 427), Size(28, 28), box)
    # 28 x 28 is below min_pixels = 56 x 56; resizing it again would give 16 patches
    assert (len(store.pixels(view).pixel_values), store.num_tokens(view)) == (4, 1)


def test_pixels_beyond_the_window_do_not_bleed_in(tmp_path: Path, store: ImageStore) -> None:
    image = Image.new("RGB", (448, 448), RED)
    image.paste(WHITE, (100, 100, 156, 156))
    image.save(tmp_path / "a.png")
    window = Box(100, 100, 156, 156)
    view = ImageView(FileImage(str(tmp_path / "a.png")), Size(448, 448), Size(112, 112), window)
    assert np.asarray(store.image(view)).min() == 255


@pytest.mark.parametrize(
    ("wished", "shown"),
    [
        (Size(100, 100), Size(112, 112)),  # 100 / 28 = 3.57 -> 4
        (Size(56, 56), Size(56, 56)),
        (Size(79, 40), Size(112, 56)),  # 84 x 28 is below 56 x 56 pixels, so it grows
        (Size(28, 28), Size(56, 56)),
        (Size(672, 672), Size(112, 112)),
    ],
)
def test_a_view_is_fitted_to_what_no_engine_resizes_again(
    store: ImageStore, wished: Size, shown: Size
) -> None:
    view = ImageView(FileImage("a.png"), Size(448, 448), wished, Box(0, 0, 56, 56))
    assert store.fit(view) == replace(view, size=shown)


def test_marks_are_drawn_in_the_files_pixels(tmp_path: Path, store: ImageStore) -> None:
    Image.new("RGB", (448, 448), WHITE).save(tmp_path / "a.png")
    whole = store.whole(tmp_path / "a.png")
    marked = whole.edited(Fill(Box(0, 0, 224, 448)), Dot(Point(336, 224), 20, RED))
    pixels = np.asarray(store.image(marked))
    assert pixels[56, 10].tolist() == [0, 0, 0]
    assert pixels[56, 84].tolist() == list(RED)
    assert pixels[10, 100].tolist() == list(WHITE)
    zoom = replace(marked, box=Box(224, 168, 336, 280))  # the right half of the dot's left half
    assert np.asarray(store.image(zoom))[56, 100].tolist() == list(RED)
    assert np.asarray(store.image(whole)).min() == 255
    assert len({whole.key, marked.key, zoom.key, marked.edited(Fill(rgb=GREY)).key}) == 4
    grey = store.image(marked.edited(Fill(rgb=GREY)))
    assert grey.getextrema() == ((128, 128),) * 3


def test_patches_are_whole_cells_of_their_box(tmp_path: Path, store: ImageStore) -> None:
    Image.new("RGB", (448, 448), WHITE).save(tmp_path / "a.png")
    window = Box(112, 112, 224, 224)
    crop = replace(store.whole(tmp_path / "a.png"), box=window)
    patches = Patches(width_px=28, height_px=14, share=0.5, box=window, seed=1)
    whole = np.asarray(open_source(crop.edited(patches).source).convert("L"))
    cells = whole[112:224, 112:224].reshape(8, 14, 4, 28)
    assert (cells.min((1, 3)) == cells.max((1, 3))).all()  # each one colour
    assert 0.3 < (cells[:, 0, :, 0] == 0).mean() < 0.7
    assert (whole[:112] == 255).all()
    none, all_of_it = (replace(patches, share=share) for share in (0.0, 1.0))
    assert np.asarray(store.image(crop.edited(none))).min() == 255
    assert np.asarray(store.image(crop.edited(all_of_it))).max() == 0


def test_noise_covers_its_box_and_is_the_same_again(tmp_path: Path, store: ImageStore) -> None:
    Image.new("RGB", (448, 448), WHITE).save(tmp_path / "a.png")
    window = Box(112, 112, 224, 224)
    crop = replace(store.whole(tmp_path / "a.png"), box=window)
    noisy = crop.edited(Noise(window, seed=1))
    pixels = np.asarray(store.image(noisy))
    assert 120 < pixels.mean() < 135
    assert pixels.std() > 60
    assert np.array_equal(pixels, open_source(noisy.source).crop(window.as_tuple()))
    assert not np.array_equal(pixels, store.image(crop.edited(Noise(window, seed=2))))
    beside = replace(noisy, box=Box(0, 0, 112, 112))
    assert np.asarray(store.image(beside)).min() == 255
    assert store.image(crop.edited(Noise())).size == (112, 112)


def test_gaussian_noise_is_added_to_what_is_kept(tmp_path: Path, store: ImageStore) -> None:
    Image.new("RGB", (448, 448), (102, 102, 102)).save(tmp_path / "a.png")
    view = replace(store.whole(tmp_path / "a.png"), box=Box(0, 0, 112, 112))
    noisy = np.asarray(store.image(view.edited(GaussianNoise(0.5, 0.1, seed=1))))
    # half of 102, and a tenth of 255
    assert (noisy.mean(), noisy.std()) == (pytest.approx(51, abs=1), pytest.approx(25.5, abs=1))
    again = np.asarray(store.image(view.edited(GaussianNoise(0.5, 0.1, seed=1))))
    assert np.array_equal(noisy, again)
    assert np.asarray(store.image(view.edited(GaussianNoise(1.0, 0.0)))).std() == 0


def test_the_frame_of_a_video_is_the_one_shown_at_its_time(
    tmp_path: Path, store: ImageStore
) -> None:
    path = str(tmp_path / "clip.mp4")
    with av.open(path, "w") as video:
        stream = video.add_stream("libx264", rate=10, options={"crf": "0"})
        stream.width = stream.height = 112
        stream.pix_fmt = "yuv444p"
        for shade in range(0, 200, 10):  # two seconds, each frame 10 lighter
            picture = Image.new("RGB", (112, 112), (shade, shade, shade))
            video.mux(stream.encode(av.VideoFrame.from_image(picture)))
        video.mux(stream.encode(None))
    for time_s, shade in ((0.0, 0), (0.55, 50), (1.2, 120), (9.0, 190)):
        view = ImageView(VideoFrame(path, time_s), Size(112, 112), Size(112, 112))
        assert abs(store.image(view).getpixel((56, 56))[0] - shade) <= 2, time_s
    with pytest.raises(DataError, match="video"):
        store.image(ImageView(VideoFrame(__file__, 0), Size(112, 112), Size(112, 112)))


def test_caches_keep_and_stay_below_their_limit(photographs: list[str]) -> None:
    # one of 640 x 427 x 4 bytes fits, not two
    store = ImageStore(make_processor(), family=Qwen25VL(), cache_bytes=3_000_000)
    views = [store.whole(path) for path in photographs]
    first = store.pixels(views[0])
    size = views[0].size
    assert store.shown.currsize == 3 * size.width * size.height  # bytes, not its patches' floats
    store.originals.clear()
    assert torch.equal(store.pixels(views[0]).pixel_values, first.pixel_values)
    assert not store.originals  # the view was there
    store.pixels(views[1])
    assert len(store.originals) == 1
    assert 0 < store.originals.currsize <= store.originals.maxsize


@pytest.mark.parametrize("cache_bytes", [1 << 30, 20_000])  # all views; none
def test_a_batch_is_its_views(
    photographs: list[str], cache_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: 3)
    store = ImageStore(make_processor(), family=Qwen25VL(), cache_bytes=cache_bytes)
    wholes = [store.whole(path) for path in photographs]
    boxes = [Box(100 + x, 50, 212 + x, 162) for x in (0, 40, 80)]
    crops = [replace(wholes[0], size=Size(112, 56), box=box) for box in boxes]
    views = [*crops, *wholes, crops[0]]
    made = store.batch(views)
    alone = [store.pixels(view) for view in views]
    assert torch.equal(made.pixel_values, torch.cat([one.pixel_values for one in alone]))
    assert made.grid_thw.tolist() == [list(one.grid_thw) for one in alone]


@pytest.mark.parametrize("num_threads", [1, 3])
def test_a_batch_decodes_each_picture_once(
    photographs: list[str], num_threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: num_threads)
    decoded: list[str] = []

    def noted(source: Source) -> Image.Image:
        decoded.append(source.key)
        return open_source(source)

    monkeypatch.setattr("vigorl.data.images.open_source", noted)
    store = ImageStore(make_processor(), family=Qwen25VL(), cache_bytes=20_000)  # holds none
    wholes = [store.whole(path) for path in photographs]
    crop = replace(wholes[0], size=Size(112, 56), box=Box(100, 50, 212, 162))
    store.show([wholes[0], crop, *wholes[1:]])
    assert sorted(decoded) == sorted(view.source.key for view in wholes)


def test_threads_share_a_store(tmp_path: Path) -> None:
    store = ImageStore(make_processor(), family=Qwen25VL(), cache_bytes=30_000)  # holds three
    for number in range(6):
        Image.new("RGB", (40, 30), (number, 0, 0)).save(tmp_path / f"{number}.png")
    views = [store.whole(tmp_path / f"{number}.png") for number in range(6)]
    usual = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(8) as pool:
            shown = list(pool.map(lambda i: (i, rgb(store.image(views[i]))[0]), [*range(6)] * 100))
    finally:
        sys.setswitchinterval(usual)
    assert all(number == red for number, red in shown)


def test_a_picture_that_changed_since_is_named(tmp_path: Path, store: ImageStore) -> None:
    Image.new("RGB", (100, 80)).save(tmp_path / "a.png")
    view = store.whole(tmp_path / "a.png")
    Image.new("RGB", (80, 100)).save(tmp_path / "a.png")
    with pytest.raises(DataError, match="80x100"):
        store.pixels(view)


def test_a_thread_is_no_picture(tmp_path: Path, store: ImageStore) -> None:
    Image.new("RGB", (402, 2)).save(tmp_path / "a.png")
    with pytest.raises(DataError, match="aspect"):
        store.whole(tmp_path / "a.png", source="rows.jsonl:3")


def test_store_from_a_folder_takes_new_limits(tmp_path: Path) -> None:
    make_processor().save_pretrained(tmp_path)
    (tmp_path / "config.json").write_text('{"model_type": "qwen2_5_vl"}')
    store = ImageStore.from_pretrained(tmp_path, max_pixels=224 * 224)
    sizing = store.sizing
    assert (sizing.min_pixels, sizing.max_pixels, sizing.factor) == (56 * 56, 224 * 224, 28)


def test_other_processors_are_refused() -> None:
    with pytest.raises(ConfigError, match="not a Qwen2-VL style"):
        ImageStore(object(), family=Qwen25VL())
