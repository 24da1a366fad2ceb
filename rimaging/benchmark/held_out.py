"""What noise and a reference with noise do not decide: the samples that no method was given."""

from __future__ import annotations

import math
from typing import NamedTuple

from torch import Tensor

from rimaging.benchmark.scans import Scan
from rimaging.mri.measured import with_measured
from rimaging.operators.coils import expand_coils
from rimaging.operators.fourier import centred_fft, centred_ifft
from rimaging.operators.gaussian import Gaussian
from rimaging.reports.arrays import to_numpy
from rimaging.reports.metrics import WINDOW, psnr, ssim

TISSUE = 0.07
"""Of the largest value: twice the root-sum-of-squares of noise alone in the brain of the tables."""
AIR = 0.1
"""Share of the pixels, the darkest of a full scan, that hold noise alone."""


class Kept(NamedTuple):
    """Scores of an image that keeps the measured samples, and of the samples it was not given.

    ``unseen``: root-mean-square error there over sigma, the noise of the samples included: an image
    without any error has 1. ``head``: SSIM within the head, of the image as it comes.
    """

    psnr: float
    ssim: float
    unseen: float
    head: float


def kept_scores(image: Tensor, scan: Scan, likelihood: Gaussian) -> Kept:
    """Score an estimate ``(y, x)`` or ``(set, y, x)`` of a fully sampled scan.

    ``likelihood``: of the samples that were given, without leading axes.
    """
    shown = with_measured(image, likelihood).abs()
    peak = float(scan.reference.max())
    coils = expand_coils(scan.maps, image, scan.sets, 2)
    error = (centred_fft(coils, (-2, -1)) - scan.kspace)[:, scan.mask == 0]
    unseen = math.sqrt(float(error.abs().square().mean()) / 2) / air_noise(scan.kspace)
    return Kept(
        psnr(scan.reference, shown, peak),
        ssim(scan.reference, shown, peak),
        unseen,
        head_ssim(scan.reference, coils.abs().square().sum(dim=-3).sqrt()),
    )


def head_ssim(reference: Tensor, image: Tensor) -> float:
    """Mean structural similarity of the pixels ``(y, x)`` of the head, in fastMRI's convention.

    In the air there is nothing to see but the noise of the reference, and an image that has it too
    is no better. Of the head is what exceeds `TISSUE`, without specks.
    """
    from scipy.ndimage import binary_opening
    from skimage.metrics import structural_similarity

    truth, shown = (to_numpy(plane).astype(float) for plane in (reference, image))
    peak = truth.max()
    _, similarity = structural_similarity(truth, shown, win_size=WINDOW, data_range=peak, full=True)
    return float(similarity[binary_opening(truth > TISSUE * peak, iterations=2)].mean())


def air_noise(kspace: Tensor) -> float:
    """Sigma of one real component of a full scan ``(coil, y, x)``, its mean over coils.

    From the darkest tenth of the pixels of its image, where the object is not; choosing the darkest
    makes it some percent too low.
    """
    power = centred_ifft(kspace, (-2, -1)).abs().square().mean(dim=0).flatten()
    dark = power.sort().values[: max(1, round(AIR * len(power)))]
    return math.sqrt(float(dark.mean()) / 2)
