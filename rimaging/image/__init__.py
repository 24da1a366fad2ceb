"""Photographs and microscopy: denoise, deblur, enlarge, fill in, or invert any linear operator.

    rimaging.image.denoise(image, sigma)
    rimaging.image.deblur(image, kernel, sigma)
    rimaging.image.upscale(image, scale)
    rimaging.image.inpaint(image, mask, sigma)
    rimaging.image.restore(y, operator, sigma)

All go one way (`rimaging.image.methods`): a RIM is used directly on the operators that its weights
were trained for (``image-any``: any linear operator); with others it serves, as a denoiser, as the
prior of plug-and-play.
"""

from __future__ import annotations

from rimaging.image.doors import deblur, denoise, inpaint, restore, upscale

__all__ = ["deblur", "denoise", "inpaint", "restore", "upscale"]
