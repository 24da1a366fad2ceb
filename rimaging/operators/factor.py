"""The factor of ``c A``: a number of any kind, and nothing else."""

from __future__ import annotations

import cmath
import math
from numbers import Complex, Real

import numpy as np
from torch import Tensor

from rimaging.errors import OptionError


def as_factor(factor: object) -> complex:
    """A float or complex from any kind of number, an array or a tensor of one value included.

    Raises OptionError for what is no number, is not finite, or is learned: a gradient would not
    reach it.
    """
    kind = type(factor).__name__
    if isinstance(factor, Tensor) and factor.requires_grad:
        raise OptionError(
            "c * A got a factor that is learned, which no gradient would reach: multiply by it in "
            "an operator of your own"
        )
    if isinstance(factor, Tensor | np.ndarray) and math.prod(factor.shape) == 1:
        factor = factor.item()
    if not isinstance(factor, Complex):
        raise OptionError(
            f"c * A takes a number, got a {kind}: compose operators by A @ B, apply one by A(x), "
            "weigh pixels by Sampling(weights) @ A"
        )
    if not cmath.isfinite(complex(factor)):
        raise OptionError(f"c * A takes a finite number, got {factor}")
    return float(factor) if isinstance(factor, Real) else complex(factor)
