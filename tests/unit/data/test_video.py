"""Videos that PyAV writes here, read frame by frame."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from vigorl.core.errors import DataError
from vigorl.core.geometry import Size
from vigorl.core.media import file_of, frame_name
from vigorl.data.pictures import open_image, read_size
from vigorl.data.video import VideoFile, VideoHeader, read_frame, read_header

FRAME = Size(64, 48)


def write_clip(
    path: Path, shades: list[int], *, size: Size = FRAME, fps: int = 10, **options: str
) -> str:
    """A frame per shade of grey, a key frame every eight."""
    with av.open(str(path), "w", options=options) as video:
        stream = video.add_stream("libx264", rate=fps, options={"g": "8", "preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = size.width, size.height, "yuv420p"
        for shade in shades:
            picture = Image.new("RGB", (size.width, size.height), (shade, shade, shade))
            video.mux(stream.encode(av.VideoFrame.from_image(picture)))
        video.mux(stream.encode(None))
    return str(path)


def shade_of(picture: Image.Image) -> int:
    return int(np.asarray(picture)[..., 0].mean().round())


def test_a_header_says_size_length_and_rate(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.mp4", list(range(0, 200, 10)))
    assert read_header(path) == VideoHeader(Size(64, 48), 2.0, 10.0, 20)


def test_each_frame_is_found_by_its_number_in_any_order(tmp_path: Path) -> None:
    path, header = write_clip(tmp_path / "a.mp4", list(range(0, 200, 10))), None
    header = read_header(path)
    for number in (13, 2, 19, 0, 8, 7):
        found = shade_of(read_frame(path, header.time_of(number)))
        assert abs(found - 10 * number) <= 3, number
        assert header.number_at(header.time_of(number)) == number


@pytest.mark.parametrize("fps", [23.976, 29.97, 30.0, 59.94])
def test_numbers_survive_the_way_through_milliseconds(fps: float) -> None:
    header = VideoHeader(Size(1, 1), 3600.0, fps, round(3600 * fps))
    numbers = [*range(200), *range(header.num_frames - 200, header.num_frames)]
    assert [header.number_at(header.time_of(number)) for number in numbers] == numbers


def test_a_frame_of_a_video_is_a_picture_by_name(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.mp4", [10, 100, 200])
    name = frame_name(path, 0.1, max_pixels=3136)
    assert (file_of(name), read_size(name)) == (path, Size(64, 48))
    assert abs(shade_of(open_image(name)) - 100) <= 3


def test_at_a_variable_rate_it_is_the_frame_that_is_shown(tmp_path: Path) -> None:
    path = str(tmp_path / "v.mp4")
    with av.open(path, "w") as video:
        stream = video.add_stream("libx264", rate=100, options={"preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for at, shade in ((0, 20), (10, 80), (300, 160)):  # 0, 0.1 and 3 s
            frame = av.VideoFrame.from_image(Image.new("RGB", (64, 48), (shade,) * 3))
            frame.pts = at
            video.mux(stream.encode(frame))
        video.mux(stream.encode(None))
    for time_s, shade in ((0.05, 20), (0.1, 80), (2.9, 80), (3.0, 160)):
        assert abs(shade_of(read_frame(path, time_s)) - shade) <= 3, time_s


def test_frames_are_turned_as_the_file_says(tmp_path: Path) -> None:
    path = Path(write_clip(tmp_path / "a.mp4", [0, 50]))
    data = path.read_bytes()
    matrix = data.find(b"tkhd") + 44
    quarter = struct.pack(">9i", 0, 1 << 16, 0, -1 << 16, 0, 0, 0, 0, 1 << 30)
    path.write_bytes(data[:matrix] + quarter + data[matrix + 36 :])
    assert (read_header(path).size, read_frame(path, 0.0).size) == (Size(48, 64), (48, 64))


def _halved(path: Path) -> Path:
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    return path


def _noise(path: Path) -> Path:
    """Cut behind its header, which stands first."""
    with av.open(str(path), "w", options={"movflags": "faststart"}) as video:
        stream = video.add_stream("libx264", rate=4, options={"preset": "ultrafast", "g": "8"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        draw = np.random.default_rng(0)
        for _ in range(64):
            pixels = draw.integers(0, 256, (48, 64, 3), dtype=np.uint8)
            video.mux(stream.encode(av.VideoFrame.from_ndarray(pixels)))
        video.mux(stream.encode(None))
    return _halved(path)


def _sound(path: Path) -> Path:
    with av.open(str(path), "w") as video:
        stream = video.add_stream("aac", rate=8000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
        frame.sample_rate = 8000
        video.mux(stream.encode(frame))
        video.mux(stream.encode(None))
    return path


def _empty(path: Path) -> Path:
    path.write_bytes(b"")
    return path


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: path, "no such video"),
        (_empty, "empty"),
        (lambda path: _halved(Path(write_clip(path, [0, 90, 180]))), "cut"),
        (_noise, "cut"),
        (_sound, "no video in it"),
    ],
    ids=["missing", "empty", "cut", "cut_behind_its_header", "sound_alone"],
)
def test_what_cannot_be_read_is_named(
    tmp_path: Path, make: Callable[[Path], Path], message: str
) -> None:
    path = make(tmp_path / "a.mp4")
    with pytest.raises(DataError, match=message) as caught:
        read_frame(path, 15.0)
    assert caught.value.path == str(path)


def test_a_written_over_file_is_read_anew_and_few_stay_open(tmp_path: Path) -> None:
    paths = [write_clip(tmp_path / f"{i}.mp4", [i]) for i in range(6)]
    assert [abs(shade_of(read_frame(path, 0)) - i) <= 3 for i, path in enumerate(paths)]
    write_clip(tmp_path / "5.mp4", [120, 120, 120])
    assert abs(shade_of(read_frame(paths[5], 0)) - 120) <= 3


def test_an_hour_is_read_frame_by_frame_in_little_memory(tmp_path: Path) -> None:
    path = tmp_path / "hour.mp4"
    with av.open(str(path), "w") as video:
        stream = video.add_stream("libx264", rate=1, options={"g": "12", "preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = 32, 32, "yuv420p"
        for second in range(3600):
            pixels = np.full((32, 32, 3), second % 240, np.uint8)
            video.mux(stream.encode(av.VideoFrame.from_ndarray(pixels)))
        video.mux(stream.encode(None))
    seconds = np.random.default_rng(0).integers(0, 3600, 200).tolist()
    with VideoFile(path) as video:
        assert (video.header.duration_s, video.header.num_frames) == (3600.0, 3600)
        for second in seconds[:20]:
            video.frame(second)
        before = _resident_bytes()
        for second in seconds:
            assert abs(shade_of(video.frame(second)) - second % 240) <= 3
    assert _resident_bytes() - before < 8 << 20  # all frames are 11 MB


def _resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def _views(folder: Path, text: str) -> Path:
    for name, shade in (("a", 10), ("b", 200)):
        Image.new("RGB", (64, 48), (shade,) * 3).save(folder / f"{name}.png")
    Image.new("RGB", (8, 8)).save(folder / "small.png")
    path = folder / "scene.views"
    path.write_text(text)
    return path


def test_a_list_of_views_is_read_as_a_video(tmp_path: Path) -> None:
    path = _views(tmp_path, '["a.png", "b.png"]')
    assert read_header(path) == VideoHeader(FRAME, 2.0, 1.0, 2)
    assert [shade_of(open_image(frame_name(str(path), i))) for i in (1, 0)] == [200, 10]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[", "cannot be read"),
        ("[]", "is a JSON list"),
        ('["c.png"]', "not beside"),
        ('["../a.png"]', "leads out"),
        ('["a.png", "small.png"]', "equally large"),
    ],
)
def test_a_list_of_views_that_is_none(tmp_path: Path, text: str, message: str) -> None:
    path = _views(tmp_path, text)
    with pytest.raises(DataError, match=message):
        read_frame(path, 1.0)
