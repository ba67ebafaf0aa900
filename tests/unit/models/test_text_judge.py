from pathlib import Path

import pytest
import torch
from PIL import Image
from transformers import (
    AutoTokenizer,
    CLIPConfig,
    CLIPImageProcessor,
    CLIPModel,
    CLIPProcessor,
    CLIPTextConfig,
    CLIPVisionConfig,
)

import vigorl
from tests.builders import rollout, view
from vigorl.core.media import FileImage, ImageView
from vigorl.core.rewards.consistency import TextJudge
from vigorl.models.text_judge import PictureTextJudge


@pytest.fixture
def judge(tmp_path: Path) -> PictureTextJudge:
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1}
    tokenizer = AutoTokenizer.from_pretrained(
        Path(vigorl.__file__).parent / "assets" / "tiny_start"
    )
    text = CLIPTextConfig(
        **sizes,
        num_attention_heads=2,
        vocab_size=len(tokenizer),
        max_position_embeddings=8,
        bos_token_id=0,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    vision = CLIPVisionConfig(**sizes, num_attention_heads=2, image_size=28, patch_size=14)
    config = CLIPConfig(text_config=text.to_dict(), vision_config=vision.to_dict())
    CLIPModel(config).save_pretrained(tmp_path)
    pictures = CLIPImageProcessor(size={"shortest_edge": 28}, crop_size={"height": 28, "width": 28})
    CLIPProcessor(pictures, tokenizer).save_pretrained(tmp_path)
    return PictureTextJudge(str(tmp_path))


def test_a_text_and_a_picture_have_a_cosine(judge: PictureTextJudge, tmp_path: Path) -> None:
    Image.new("RGB", (40, 30), "red").save(tmp_path / "red.png")
    shown = view()
    one = rollout(
        prompt_views=(ImageView(FileImage(str(tmp_path / "red.png")), shown.original, shown.size),)
    )
    long = "green, and more words than the model has places for: on and on and on"
    cosines = {text: judge(text, one) for text in ("red disc", "blue", long)}
    assert isinstance(judge, TextJudge)
    assert all(-1 <= cosine <= 1 for cosine in cosines.values())
    assert len(set(cosines.values())) == 3
    assert judge("blue", one) == cosines["blue"]
