"""Astronomy: deconvolution of telescope images to a declared target PSF.

door: `deconvolve`. psf: what it takes for a PSF. methods: the classical ones to compare with.
"""

from rimaging.astro.door import TARGET, deconvolve, varying_operator
from rimaging.astro.methods import Boundary, MethodName
from rimaging.astro.psf import Psf, as_psf, as_varying, moffat_psf, with_psf

__all__ = [
    "TARGET",
    "Boundary",
    "MethodName",
    "Psf",
    "as_psf",
    "as_varying",
    "deconvolve",
    "moffat_psf",
    "varying_operator",
    "with_psf",
]
