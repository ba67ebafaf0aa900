"""A whole supervised dialog as the model reads it, character for character.

Written by hand from Qwen's chat layout (`<|im_start|>role`, newline, text, `<|im_end|>`, newline)
and the grammar; renew it by reading, not by running.
"""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from tests.builders import task
from tests.unit.data.conftest import FakeZoom, make_processor, make_tokenizer
from vigorl.core.records import TraceRecord
from vigorl.core.trace import Step, ToolCall, Trace
from vigorl.data.encoding import ChatCodec, encode_trace
from vigorl.data.images import ImageStore
from vigorl.data.prompts import OPTIONS, Prompt
from vigorl.families.qwen_vl import CHAT, Qwen25VL

POLICY = "\x1b"  # around what is learned

DIALOG = f"""\
<|im_start|>system
Point, zoom, then answer.<|im_end|>
<|im_start|>user
<|vision_start|><|image_pad|><|vision_end|>What colour is the disc?
Options:
(A) red
(B) blue<|im_end|>
<|im_start|>assistant
{POLICY}<think> The disc is at (50, 20). </think>
<tool_call>
{{"name": "look", "arguments": {{"coordinate": [50, 20]}}}}
</tool_call><|im_end|>{POLICY}
<|im_start|>user
<observation>
Here is the crop:
<|vision_start|><|image_pad|><|vision_end|>
</observation><|im_end|>
<|im_start|>assistant
{POLICY}<think> It is red. </think>
<answer> red </answer><|im_end|>{POLICY}"""


def test_dialog(tmp_path: Path) -> None:
    Image.new("RGB", (448, 448)).save(tmp_path / "a.png")
    look = Step("The disc is at (50, 20).", ToolCall("look", {"coordinate": [50, 20]}))
    trace = Trace((look, Step("It is red.")), "red")
    tokenizer = make_tokenizer()
    sample = encode_trace(
        TraceRecord(task(images=(str(tmp_path / "a.png"),)), trace),
        prompt=Prompt("Point, zoom, then answer.", options=OPTIONS),
        codec=ChatCodec(tokenizer, CHAT),
        images=ImageStore(make_processor(), family=Qwen25VL()),
        tools={"look": FakeZoom()},
    )
    text, learning = "", 0
    for token, mask in zip(sample.token_ids, sample.loss_mask, strict=True):
        text += POLICY * (mask != learning) + tokenizer.decode([token], skip_special_tokens=False)
        learning = mask
    assert text + POLICY * learning == DIALOG
