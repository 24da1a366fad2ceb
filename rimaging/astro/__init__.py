"""Astronomy: deconvolution of telescope images to a declared target PSF.

door: `deconvolve`. psf: what it takes for a PSF. methods: the classical ones to compare with.
radio: `image`, from the visibilities of an interferometer.
"""

from rimaging.astro.door import deconvolve, varying_operator
from rimaging.astro.methods import Boundary, MethodName
from rimaging.astro.psf import TARGET, Psf, as_psf, as_varying, moffat_psf, with_psf
from rimaging.astro.radio import RadioImage, image
from rimaging.datasets.visibilities import VisibilityData

__all__ = [
    "TARGET",
    "Boundary",
    "MethodName",
    "Psf",
    "RadioImage",
    "VisibilityData",
    "as_psf",
    "as_varying",
    "deconvolve",
    "image",
    "moffat_psf",
    "varying_operator",
    "with_psf",
]
