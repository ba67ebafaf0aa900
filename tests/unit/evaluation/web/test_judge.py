"""The judge's questions and replies."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from PIL import Image

from tests.unit.rollout.fake_judge import FakeJudge
from vigorl.core.errors import ConfigError, DataError, EngineError
from vigorl.evaluation.web.judge import WebJudge
from vigorl.rollout.judge import JudgePrompt


def judge(fake: FakeJudge, **settings: str) -> WebJudge:
    made = WebJudge(urls=["http://judge"], model="m", **settings)  # pyright: ignore[reportArgumentType]
    made.__dict__["judge"] = fake
    return made


def test_it_is_asked_once_for_the_same_and_pages_cannot_slip_pictures_in():
    asked: list[JudgePrompt] = []

    def script(prompt: JudgePrompt) -> str:
        asked.append(prompt)
        return "correct"

    made = judge(FakeJudge(script))
    for _ in range(2):
        assert made.is_same_answer("<image> red", reference="red", question="What {colour}?")
    assert len(asked) == 1
    assert "student answer: [image] red\n" in asked[0].text
    assert "question: What {colour}?\n" in asked[0].text
    assert asked[0].draw is None


def test_it_is_shown_one_picture_at_a_time():
    file = io.BytesIO()
    Image.new("RGB", (8, 4), "red").save(file, "png")

    def script(prompt: JudgePrompt) -> str:
        assert prompt.draw is not None
        (picture,) = prompt.draw()
        return f"{picture.width} wide"

    made = judge(FakeJudge(script))
    assert made.sees("8", question="How wide?", pictures=[file.getvalue()])
    assert not made.sees("4", question="How wide?", pictures=[file.getvalue()])


def test_a_later_run_takes_the_replies_that_are_kept(tmp_path: Path):
    cache = tmp_path / "kept" / "replies.jsonl"
    question = {"reference": "red", "question": "What colour?"}
    before = judge(FakeJudge(lambda _: "correct"), cache=str(cache))
    assert before.is_same_answer("red", **question)
    with cache.open("a") as file:
        file.write('{"key": "torn')
    after = judge(FakeJudge(lambda _: None), cache=str(cache))
    assert after.is_same_answer("red", **question)
    with pytest.raises(EngineError):
        after.is_same_answer("blue", **question)
    cache.write_text('{"key": 1}\n')
    with pytest.raises(DataError, match=r"replies\.jsonl:1: no reply of a judge"):
        judge(FakeJudge(lambda _: None), cache=str(cache))


def test_a_reply_that_does_not_come_ends_the_run():
    made = judge(FakeJudge(lambda _: None))
    with pytest.raises(EngineError, match=r"data\.judge \(m\): the fake judge is busy"):
        made.is_same_reason("a", reference="b", question="c")


def test_it_needs_a_place_and_a_name():
    with pytest.raises(ConfigError, match=r"data\.judge needs urls and model"):
        WebJudge(urls=[], model="m")
