"""The noise of a picture where its texture is least, so that no grass or fur is taken for noise."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, conv2d, max_pool2d, pad

from rimaging.datasets.background import MAD_TO_SIGMA, middle
from rimaging.datasets.noise import DIFFERENCES, estimate_image_noise

SHARE, FEWEST = 0.1, 1000
"""The part of a picture that is looked at first, and the fewest of its pixels that can tell."""

SMOOTHED = 1.0
"""Standard deviation in pixels of the Gaussian through which texture is seen."""

WINDOW = 9
"""Edge in pixels of the neighbourhood whose texture counts."""

OF_NOISE = 0.2
"""Texture of white noise of one: ``4 (R(0) - R(2))`` with ``R(d) = exp(-d^2 / 4) / (4 pi)``."""


def estimate_smooth_noise(image: Tensor, mask: Tensor | None = None) -> float:
    """Estimate the standard deviation of white noise in a picture ``([channels,] y, x)``.

    The second differences of `estimate_image_noise`, where ``|grad (g * x)|^2`` in windows of 9
    pixels is least, ``g`` a Gaussian of 1 pixel: in a tenth of the picture, then wherever that
    shows no more than noise of this size would. What passes ``g`` and what second differences see
    have hardly a frequency in common, so the choice does not favour pixels with less noise.
    Windows of one value, such as a frame, tell nothing; where most are, or pixels are few, the
    whole picture is looked at.

    Raises DataError where no 3 x 3 block is whole, or the estimate is zero.
    """
    planes = image.reshape(-1, 1, *image.shape[-2:])
    if min(image.shape[-2:]) <= WINDOW:
        return estimate_image_noise(image, mask)
    known = torch.ones_like(planes)
    if mask is not None:
        known = (mask > 0).to(image.dtype).expand(image.shape).reshape(planes.shape)
    edge = WINDOW // 2
    varied = max_pool2d(planes, WINDOW, 1, edge) + max_pool2d(-planes, WINDOW, 1, edge) > 0
    whole = -max_pool2d(-known, 3, 1) > 0
    usable = (varied[..., 1:-1, 1:-1] & whole).all(dim=0)[0]  # of the middles of 3 x 3 blocks
    if varied.to(image.dtype).mean() < 0.5 or usable.sum() < FEWEST:
        return estimate_image_noise(image, mask)
    texture = _texture(planes, known)[usable]
    difference = conv2d(planes, DIFFERENCES.to(planes)[None, None])[:, 0][:, usable].abs()
    least = texture <= texture.kthvalue(max(FEWEST, round(SHARE * texture.numel()))).values
    sigma = _sigma(difference[:, least])
    alike = texture <= 1.3 * OF_NOISE * len(planes) * sigma**2
    sigma = _sigma(difference[:, alike | least])
    # what float32 rounds away is no noise
    if sigma <= torch.finfo(torch.float32).eps * float(image.abs().max()):
        return estimate_image_noise(image, mask)
    return sigma


def _texture(planes: Tensor, known: Tensor) -> Tensor:
    """``|grad (g * x)|^2`` in windows, the sum of all planes, ``(y - 2, x - 2)``."""
    seen = _smoothed(planes * known) / _smoothed(known).clamp_min(1e-3)
    across = seen[..., 1:-1, 2:] - seen[..., 1:-1, :-2]
    down = seen[..., 2:, 1:-1] - seen[..., :-2, 1:-1]
    power = (across.square() + down.square()).sum(dim=0, keepdim=True)
    return avg_pool2d(power, WINDOW, 1, WINDOW // 2, count_include_pad=False)[0, 0]


def _smoothed(planes: Tensor) -> Tensor:
    reach = round(4 * SMOOTHED)
    taps = torch.arange(-reach, reach + 1, dtype=planes.dtype, device=planes.device)
    kernel = torch.exp(-0.5 * (taps / SMOOTHED).square())
    kernel = kernel / kernel.sum()
    planes = pad(planes, (reach, reach, reach, reach), mode="replicate")
    return conv2d(conv2d(planes, kernel[None, None, None]), kernel[None, None, :, None])


def _sigma(magnitudes: Tensor) -> float:
    """By the median; of rounded data, which differ in too few pixels for it, by the mean square."""
    sigma = MAD_TO_SIGMA * float(middle(magnitudes.flatten()))
    return sigma if sigma > 0 else float(magnitudes.square().mean().sqrt())
