"""Structural similarity, against scikit-image."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from vigorl.evaluation.web.similarity import structural_similarity


def slope(width: int, height: int, steep: int = 1) -> Image.Image:
    values = np.add.outer(np.arange(height) * steep, np.arange(width) * 2) % 256
    return Image.fromarray(values.astype(np.uint8)).convert("RGB")


# skimage.metrics.structural_similarity (0.26.0) of the pictures as the benchmark stretches them
@pytest.mark.parametrize(
    ("first", "second", "value"),
    [
        (slope(40, 30), slope(40, 30), 1.0),
        (slope(40, 30), slope(60, 50), 0.878906024148),
        (slope(40, 30), slope(40, 30, 2), 0.926424353907),
        (slope(64, 64), slope(64, 64).rotate(3), 0.974803116253),
    ],
)
def test_it_is_that_of_scikit_image(first: Image.Image, second: Image.Image, value: float):
    assert structural_similarity(first, second) == pytest.approx(value, abs=1e-9)
