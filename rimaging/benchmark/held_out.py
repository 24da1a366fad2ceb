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
from rimaging.reports.metrics import psnr, ssim

AIR = 0.1
"""Share of the pixels, the darkest of a full scan, that hold noise alone."""


class Kept(NamedTuple):
    """Scores of an image that keeps the measured samples, and of the samples it was not given.

    ``unseen``: root-mean-square error there over sigma, the noise of the samples included: an image
    without any error has 1.
    """

    psnr: float
    ssim: float
    unseen: float


def kept_scores(image: Tensor, scan: Scan, likelihood: Gaussian) -> Kept:
    """Score an estimate ``(y, x)`` or ``(set, y, x)`` of a fully sampled scan.

    ``likelihood``: of the samples that were given, one item.
    """
    shown = with_measured(image[None], likelihood)[0].abs()
    peak = float(scan.reference.max())
    coils = expand_coils(scan.maps, image, scan.sets, 2)
    error = (centred_fft(coils, (-2, -1)) - scan.kspace)[:, scan.mask == 0]
    unseen = math.sqrt(float(error.abs().square().mean()) / 2) / air_noise(scan.kspace)
    return Kept(psnr(scan.reference, shown, peak), ssim(scan.reference, shown, peak), unseen)


def air_noise(kspace: Tensor) -> float:
    """Sigma of one real component of a full scan ``(coil, y, x)``, its mean over coils.

    From the darkest tenth of the pixels of its image, where the object is not; choosing the darkest
    makes it some percent too low.
    """
    power = centred_ifft(kspace, (-2, -1)).abs().square().mean(dim=0).flatten()
    dark = power.sort().values[: max(1, round(AIR * len(power)))]
    return math.sqrt(float(dark.mean()) / 2)
