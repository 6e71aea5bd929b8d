"""What training minimises (Eq. 13)."""

from __future__ import annotations

import torch
from torch.nn import functional

DISTORTION_WEIGHT = 4e-5
"""Of the distortion loss (Mip-NeRF 360): half of the fog's samples become a surface, at 0.1 dB; 3e-4 costs 1.7 dB."""
_WINDOW = 7
_LUMA, _CONTRAST = 0.01**2, 0.03**2


def colour_loss(
    predicted: torch.Tensor, truth: torch.Tensor, at_mouth: torch.Tensor, mouth_weight: float
) -> torch.Tensor:
    """Squared error of (R, 3) colours, the first term of Eq. 13; at the mouth, (R) bool, it counts `mouth_weight` times."""
    weight = torch.where(at_mouth, mouth_weight, 1.0)
    return (weight[:, None] * (predicted - truth) ** 2).mean()


def structural_loss(predicted: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
    """1 - SSIM, the mean of full and half size; 0 when equal.

    It replaces LPIPS in the fine stage where LPIPS' weights are absent: both compare the contrast of neighbourhoods, so
    a sharp edge that is slightly displaced costs less than a blurred one. SSIM (Wang et al. 2004) with a flat window.

    Args:
        predicted, truth: (P, 3, S, S) in [0, 1], S at least 14.
    """
    total = 1 - _ssim(predicted, truth)
    smaller = functional.avg_pool2d(predicted, 2), functional.avg_pool2d(truth, 2)
    return (total + 1 - _ssim(*smaller)) / 2


def _ssim(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    def mean(image: torch.Tensor) -> torch.Tensor:
        return functional.avg_pool2d(image, _WINDOW, 1)

    m, n = mean(one), mean(other)
    variances = (mean(one * one) - m * m).clamp(min=0) + (mean(other * other) - n * n).clamp(min=0)
    covariance = mean(one * other) - m * n
    luma = (2 * m * n + _LUMA) / (m * m + n * n + _LUMA)
    return (luma * (2 * covariance + _CONTRAST) / (variances + _CONTRAST)).mean()
