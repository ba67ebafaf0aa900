"""The tiny model is an ordinary Hugging Face folder with an ordinary tokenizer."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoConfig, AutoModelForImageTextToText, AutoTokenizer

from vigorl.data.images import ImageStore
from vigorl.families.qwen_vl import CHAT
from vigorl.models.tiny import (
    TinySettings,
    make_tiny,
    train_tokenizer,
    untrained_copy,
)

ATOMS = ("red disc", "blue square", "no sign", "rising")
CORPUS = [
    "<think> The red disc is at (50, 20). </think>\n<answer> rising </answer>",
    "I see the blue square. Its stripes are rising.",
    "I see no sign. The red disc is at (51, 37).",
] * 20
SMALL = TinySettings(hidden=64, layers=1, ffn=64, vision_hidden=64, vision_depth=1)
TOKENIZER = train_tokenizer(CORPUS, chat=CHAT, vocab_size=500, atoms=ATOMS)


def _ids(text: str) -> list[int]:
    return TOKENIZER(text, add_special_tokens=False, split_special_tokens=True)["input_ids"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tiny") / "model"
    return make_tiny(path, corpus=CORPUS, atoms=ATOMS, settings=SMALL, seed=3)


def test_the_folder_loads_with_the_auto_classes(folder: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForImageTextToText.from_pretrained(folder)
    assert type(model).__name__ == "Qwen2_5_VLForConditionalGeneration"
    assert AutoConfig.from_pretrained(folder).model_type == "qwen2_5_vl"
    assert model.get_input_embeddings().num_embeddings == len(tokenizer)
    assert model.config.image_token_id == tokenizer.convert_tokens_to_ids("<|image_pad|>")
    assert model.generation_config.eos_token_id == tokenizer.convert_tokens_to_ids("<|im_end|>")


def test_the_image_processor_shows_a_whole_picture_at_112_px(folder: Path) -> None:
    images = ImageStore.from_pretrained(folder)
    assert (images.sizing.min_pixels, images.sizing.max_pixels) == (56 * 56, 112 * 112)
    assert images.sizing.factor == 28


def test_the_loaded_model_computes_finite_logits(folder: Path) -> None:
    model = AutoModelForImageTextToText.from_pretrained(folder).eval()
    ids = torch.tensor([AutoTokenizer.from_pretrained(folder)("The red disc")["input_ids"]])
    with torch.no_grad():
        logits = model(input_ids=ids).logits
    assert logits.shape == (1, ids.shape[1], model.config.text_config.vocab_size)
    assert logits.isfinite().all()


def test_the_default_model_has_about_two_million_parameters(tmp_path: Path) -> None:
    make_tiny(tmp_path, corpus=CORPUS, atoms=ATOMS)
    model = AutoModelForImageTextToText.from_pretrained(tmp_path)
    assert 1.2e6 < sum(p.numel() for p in model.parameters()) < 2.5e6


def test_a_seed_gives_the_same_weights(folder: Path, tmp_path: Path) -> None:
    again = make_tiny(tmp_path / "same", corpus=CORPUS, atoms=ATOMS, settings=SMALL, seed=3)
    other = make_tiny(tmp_path / "other", corpus=CORPUS, atoms=ATOMS, settings=SMALL, seed=4)
    weights = [(path / "model.safetensors").read_bytes() for path in (folder, again, other)]
    assert weights[0] == weights[1]
    assert weights[0] != weights[2]


def test_making_a_model_leaves_the_global_noise_alone(tmp_path: Path) -> None:
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    make_tiny(tmp_path, corpus=CORPUS, settings=SMALL, seed=9)
    assert torch.equal(torch.rand(3), expected)


def test_an_untrained_copy_has_other_weights_and_the_same_tokens(
    folder: Path, tmp_path: Path
) -> None:
    copy = untrained_copy(str(folder), str(tmp_path / "copy"), seed=11)
    one, other = (AutoModelForImageTextToText.from_pretrained(path) for path in (folder, copy))
    theirs = other.state_dict()
    assert {k: v.shape for k, v in one.state_dict().items()} == {
        k: v.shape for k, v in theirs.items()
    }
    matrices = {k: v for k, v in one.state_dict().items() if v.ndim > 1}
    assert matrices
    assert all(not torch.equal(v, theirs[k]) for k, v in matrices.items())
    texts = "The red disc is at (50, 20). ünïcode"
    first, second = (AutoTokenizer.from_pretrained(path)(texts) for path in (folder, copy))
    assert first["input_ids"] == second["input_ids"]
    assert ImageStore.from_pretrained(copy).sizing.max_pixels == 112 * 112


@settings(max_examples=200, deadline=None)
@given(st.text(st.characters(codec="utf-8"), max_size=60))
def test_any_text_round_trips(text: str) -> None:
    assert TOKENIZER.decode(_ids(text), clean_up_tokenization_spaces=False) == text


@pytest.mark.parametrize(
    "text",
    ["", " ", "\n\n", "  two  spaces ", "日本語 🙂", "naïve", "\x00", "<|im_end|>", "a" * 99],
)
def test_odd_texts_round_trip(text: str) -> None:
    assert TOKENIZER.decode(_ids(text), clean_up_tokenization_spaces=False) == text


@pytest.mark.parametrize("atom", ATOMS)
def test_an_atom_is_one_token_wherever_it_stands(atom: str) -> None:
    spaced = _ids(f" {atom}")
    assert len(spaced) == 1
    for sentence in (f"I see the {atom}.", f"The {atom} is at", f"<answer> {atom} </answer>"):
        assert _ids(sentence).count(spaced[0]) == 1


@pytest.mark.parametrize("number", ["0", "7", "42", "112", "1234567890"])
def test_every_digit_is_a_token_of_its_own(number: str) -> None:
    assert [TOKENIZER.decode([i]) for i in _ids(number)] == list(number)
    assert len(_ids(f"({number}, {number})")) >= 2 * len(number) + 3


def test_control_tokens_are_special_and_never_come_from_text() -> None:
    assert set(CHAT.controls) <= set(TOKENIZER.all_special_tokens)
    specials = set(TOKENIZER.convert_tokens_to_ids(list(CHAT.controls)))
    assert len(specials) == len(CHAT.controls)
    assert not specials & set(_ids("".join(CHAT.controls)))
    assert len(TOKENIZER) <= 500
