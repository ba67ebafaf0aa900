"""The demo as a person uses it: the door itself, in a real browser."""

from __future__ import annotations

import os
import re
import struct
import subprocess
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from vigorl.data.images import read_size
from vigorl.data.splits import ReleasedFiles
from vigorl.evaluation.web.settings import BrowserSettings

pytest.importorskip("gradio", reason="Gradio has an environment of its own: make test-demo")
pytest.importorskip("playwright", reason="playwright, which drives the browser, is not installed")
from playwright.sync_api import Browser, Page, expect, sync_playwright

if BrowserSettings().program is None:
    pytest.skip("there is no chromium or google-chrome on PATH", allow_module_level=True)

pytestmark = pytest.mark.slow
DONE = "#dialog-0 .turn:not(.writing) .answer, #dialog-0 .ending"
OTHER_DONE = "#dialog-1 .turn:not(.writing) .answer, #dialog-1 .ending"
QUESTION = "How do the stripes on the green disc run?"
expect.set_options(timeout=180_000)  # a busy machine is slow, not wrong


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("demo")


@pytest.fixture(scope="module")
def address(root: Path) -> Iterator[str]:
    """Of the demo: the trained tiny model beside its start."""
    env = os.environ | {"OMP_NUM_THREADS": "1", "GRADIO_TEMP_DIR": str(root / "uploads")}
    said = ["port=0", "beside=tiny_start", "data.num_test=3", f"paths.root={root}"]
    with subprocess.Popen(
        [sys.executable, "-m", "vigorl.demo", *said],
        env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        lines: list[str] = []
        for line in process.stdout:
            lines.append(line)
            if found := re.search(r"the demo is at (\S+)", line):
                yield found[1]
                break
        process.terminate()
    assert found, "".join(lines)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as driver:
        program = BrowserSettings().program
        browser = driver.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Browser, address: str) -> Iterator[Page]:
    with browser.new_context(viewport={"width": 1280, "height": 1000}) as context:
        yield opened(context.new_page(), address)


def opened(page: Page, address: str) -> Page:
    page.set_default_timeout(180_000)
    page.goto(address)
    expect(page.locator("#examples img").first).to_be_visible()
    return page


def choose(page: Page, number: int) -> str:
    """Take an example; returns its question."""
    page.locator("#examples button:has(img)").nth(number).click()
    expect(page.locator("#picture-0 img")).to_be_visible()
    expect(page.locator("#question textarea")).not_to_have_value("")
    return page.locator("#question textarea").input_value()


def ask(page: Page, question: str | None = None) -> None:
    if question is not None:
        page.fill("#question textarea", question)
    page.click("#ask")
    expect(page.locator(DONE).first).to_be_visible()


def bring(page: Page, path: Path) -> None:
    page.locator("#upload input[type=file]").set_input_files(path)


def test_a_scene_is_asked_looked_into_and_kept(page: Page, root: Path) -> None:
    question = choose(page, 0)
    page.click("#step")
    first = page.locator("#dialog-0 .turn:not(.writing)")
    expect(first).to_have_count(1)
    expect(first.locator(".crop")).to_be_visible()
    expect(first.locator(".sure")).to_contain_text("% sure")
    expect(page.locator("#dialog-1 .turn").first).to_be_visible()  # the model beside it
    ask(page)
    expect(page.locator("#dialog-0 .answer")).to_be_visible()

    num_before = page.locator("#dialog-0 .turn").count()
    page.get_by_text("Keep this dialog").first.click()
    page.click("#keep-0")
    expect(page.locator("#message")).to_contain_text("Kept, 1 so far")
    (file,) = root.glob("outputs/demo/*/dialogs.jsonl")
    (record,) = ReleasedFiles(traces=str(file), holdout_frac=0.0).load().train_traces
    assert record.task.question == question
    assert len(record.trace.steps) == num_before
    assert read_size(record.task.images[0]).width == 448

    expect(page.locator(OTHER_DONE).first).to_be_visible()
    before = page.locator("#dialog-1").inner_text()
    page.locator("#picture-0 img").click(position={"x": 40, "y": 60})
    expect(page.locator("#dialog-0 .own")).to_have_count(1)
    expect(page.locator("#dialog-0 .own .crop")).to_be_visible()
    expect(page.locator("#dialog-0 .turn:not(.writing)")).to_have_count(num_before + 1)
    expect(page.locator(DONE).first).to_be_visible()
    assert page.locator("#dialog-1").inner_text() == before

    page.click("#vote")
    expect(page.locator("#dialog-0 .votes")).to_contain_text("8 answers, sampled")


def test_what_is_asked_next_is_answered_though_an_answer_is_being_written(
    page: Page, root: Path
) -> None:
    """A click is not lost while the button's last event is open."""
    choose(page, 0)
    page.click("#ask")
    page.fill("#question textarea", QUESTION)
    page.click("#ask")
    page.get_by_text("Keep this dialog").first.click()
    expect(page.locator(DONE).first).to_be_visible()
    page.click("#vote")
    page.click("#vote")  # twice in a hurry
    expect(page.locator("#dialog-0 .votes")).to_have_count(1)
    expect(page.locator("#dialog-0 .answer")).to_have_count(1)
    page.click("#keep-0")
    expect(page.locator("#message")).to_contain_text("Kept, ")
    (file,) = root.glob("outputs/demo/*/dialogs.jsonl")
    assert QUESTION in file.read_text().splitlines()[-1]


def test_two_tabs_know_nothing_of_each_other(page: Page, address: str) -> None:
    other = opened(page.context.new_page(), address)
    mine, theirs = choose(page, 0), choose(other, 1)
    assert mine != theirs
    page.click("#ask")
    other.click("#ask")
    for tab in (page, other):
        expect(tab.locator(DONE).first).to_be_visible()
    drawn = [tab.locator("#picture-0 img").get_attribute("src") for tab in (page, other)]
    assert drawn[0] != drawn[1]
    before = page.locator("#dialog-0").inner_text()
    other.locator("#picture-0 img").click(position={"x": 30, "y": 30})
    expect(other.locator("#dialog-0 .own")).to_have_count(1)
    assert page.locator("#dialog-0").inner_text() == before
    assert page.locator("#dialog-0 .own").count() == 0


def test_twenty_questions(page: Page, tmp_path: Path) -> None:
    """Of pictures that are none, and of such as people have."""
    page.click("#ask")
    expect(page.locator("#message")).to_contain_text("there is no picture yet")
    for name, words in refused(tmp_path).items():
        bring(page, tmp_path / name)
        expect(page.locator("#message .refused")).to_contain_text(name)
        expect(page.locator("#message .refused")).to_contain_text(words)
        assert str(tmp_path) not in page.locator("#message").inner_text()
        expect(page.locator("#picture-0 img")).to_have_count(0)
    for name in usable(tmp_path):
        bring(page, tmp_path / name)
        expect(page.locator("#message")).to_contain_text(" pixels")
        expect(page.locator("#message")).to_contain_text(name.replace("(", "").split()[0][-9:])
        expect(page.locator("#dialog-0 .turn")).to_have_count(0)
        ask(page, f"{QUESTION} <b>{name}</b> <image" if name == "plain.png" else QUESTION)
    page.fill("#question textarea", " ")
    page.click("#ask")
    expect(page.locator("#message .refused")).to_contain_text("the question is empty")
    page.fill("#question textarea", "two <image> <image>")
    page.click("#ask")
    expect(page.locator("#message .refused")).to_contain_text("slots")


def refused(folder: Path) -> dict[str, str]:
    """Files, and what the page says of each."""
    Image.effect_noise((300, 200), 60).convert("RGB").save(folder / "whole.jpg")
    cut = (folder / "whole.jpg").read_bytes()[:2000]
    Image.effect_noise((300, 200), 60).save(folder / "cut.png")
    os.truncate(folder / "cut.png", 9000)
    files = {
        "text.png": (b"no picture at all", "not a picture"),
        "empty.png": (b"", "empty"),
        "cut.jpg": (cut, "damaged"),
        "cut.png": (None, "damaged"),
        "huge.png": (png_of(9000, 9000), "50 million pixels"),
        "bomb.png": (png_of(40000, 40000), "too large"),
        "drawing.svg": (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "not a picture"),
        "strip.png": (None, "200"),
    }
    Image.new("RGB", (2100, 10)).save(folder / "strip.png")
    for name, (content, _) in files.items():
        if content is not None:
            (folder / name).write_bytes(content)
    return {name: words for name, (_, words) in files.items()}


def png_of(width: int, height: int) -> bytes:
    """The head of a picture that was never drawn."""
    head = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    start = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + head
    rows = b"IDAT" + zlib.compress(bytes(100))
    end = struct.pack(">I", len(rows) - 4) + rows + struct.pack(">I", zlib.crc32(rows))
    return start + struct.pack(">I", zlib.crc32(head)) + end


def usable(folder: Path) -> list[str]:
    noise = Image.effect_noise((448, 300), 80)
    frames = [Image.new("P", (90, 60), colour) for colour in (1, 90, 200)]
    frames[0].save(folder / "moves.gif", save_all=True, append_images=frames[1:])
    noise.convert("CMYK").save(folder / "print.jpg")
    noise.convert("RGB").save(folder / "plain.png")
    noise.convert("RGBA").save(folder / "clear.png")
    noise.convert("1").save(folder / "bits.png")
    Image.new("I;16", (64, 80), 40000).save(folder / "deep.png")
    Image.new("RGB", (1, 1)).save(folder / "dot.png")
    exif = Image.Exif()
    exif[274] = 6
    noise.convert("RGB").save(folder / "turned.jpg", exif=exif)
    noise.save(folder / "new.webp")
    Image.new("L", (8000, 5000), 255).save(folder / "Ünï cöde (1).png")  # 40 million pixels
    return [
        "moves.gif", "print.jpg", "plain.png", "clear.png", "bits.png", "deep.png", "dot.png",
        "turned.jpg", "new.webp", "Ünï cöde (1).png",
    ]  # fmt: skip
