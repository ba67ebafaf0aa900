"""How alike two pictures are, for checks that look for a picture on a page."""

from __future__ import annotations

import numpy as np
from PIL import Image
from scipy.ndimage import uniform_filter

_WINDOW_PX = 7
_C1, _C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2


def structural_similarity(first: Image.Image, second: Image.Image) -> float:
    """Mean SSIM in grey, both stretched to the larger width and the larger height; 1.0 is the same.

    Windows of 7 x 7 with equal weights and unbiased variances, those over the edge left out, as
    scikit-image's `structural_similarity` does by default, with which the benchmark compares.
    Source: Wang et al. 2004, eq. 13.
    """
    size = max(first.width, second.width, _WINDOW_PX), max(first.height, second.height, _WINDOW_PX)
    x, y = (
        np.asarray(one.resize(size, Image.Resampling.LANCZOS).convert("L"), dtype=np.float64)
        for one in (first, second)
    )
    mean_x, mean_y = uniform_filter(x, _WINDOW_PX), uniform_filter(y, _WINDOW_PX)
    unbiased = _WINDOW_PX**2 / (_WINDOW_PX**2 - 1)
    var_x = unbiased * (uniform_filter(x * x, _WINDOW_PX) - mean_x**2)
    var_y = unbiased * (uniform_filter(y * y, _WINDOW_PX) - mean_y**2)
    both = unbiased * (uniform_filter(x * y, _WINDOW_PX) - mean_x * mean_y)
    luminance = (2 * mean_x * mean_y + _C1) / (mean_x**2 + mean_y**2 + _C1)
    structure = (2 * both + _C2) / (var_x + var_y + _C2)
    edge = _WINDOW_PX // 2
    return float((luminance * structure)[edge:-edge, edge:-edge].mean())
