"""A measurement: what an instrument saw, and where it came from."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from torch import Tensor

from rimaging.datasets.kspace_noise import estimate_kspace_noise
from rimaging.datasets.noise import (
    estimate_band_noise,
    estimate_image_noise,
    estimate_picture_noise,
    noise_notes,
)
from rimaging.datasets.psf import prepare_psf
from rimaging.datasets.sampled import find_sampled
from rimaging.datasets.trajectory import (
    estimate_trajectory_noise,
    fit_trajectory,
    resolved_matrix,
)
from rimaging.errors import DataError, OptionError, ShapeError

if TYPE_CHECKING:
    from astropy.io.fits import Header

    from rimaging.datasets.fits_beams import Beams
    from rimaging.datasets.section import Section
    from rimaging.operators.gaussian import Gaussian

__all__ = ["Kind", "Measurement"]

Kind = Literal["kspace", "sky", "image"]
KINDS = ("kspace", "sky", "image")


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Measurement:
    """Data ``y`` of one of three kinds, with noise, geometry, units and provenance.

    kind: "kspace" ``y = M F S x + n``, "sky" ``y = psf * x + n``, "image" ``y = x + n``.
    data: k-space (..., coil, y, x) complex, or images (..., y, x); leading axes are batch.
    noise: standard deviation per real component, a number or broadcastable to ``data``; None:
        unknown, `completed` estimates it.
    mask: 1 where measured, 0 where not, broadcastable to (..., y, x); columns (x,) do for k-space.
    filled: true for the pixels of a file that had no value, (..., y, x): no mask makes them good.
    maps: coil sensitivities (..., coil, y, x). psf: point spread function (..., y, x).
    trajectory: of non-Cartesian k-space, whose data are (..., coil, shot, sample): (..., shot,
        sample, 2) in the order (ky, kx), or 3 (kz, ky, kx), in cycles per field of view, within
        half of ``matrix``, or in cycles per pixel, within 0.5. It takes the place of the mask.
        matrix: (y, x) or (z, y, x) of the image, by default as large as it resolves.
    density: (..., shot, sample), the area of k-space that a sample stands for, on any scale.
    units: of ``data``, as its file writes them. header: the whole FITS header.
    quality: the flags of its pixels as their file has them, kept for what is written; ``mask`` says
        which of them count. beams: of a radio image. section: the part of the file that was read.
    profile: the ICC profile of the colours of a picture.
    affine: (4, 4) from indices (x, y, slice), that is the axes of an image backwards, to
        millimetres to the right, front and top (RAS+), as NIfTI stores volumes.
    reference: a better image of the same thing, for comparison only.
    provenance: what was read and what was assumed; never a name of a patient.

    Raises ShapeError for shapes that disagree, DataError for values that cannot be: NaN, noise
    that is not positive, samples where the mask says that there are none.
    """

    kind: Kind
    data: Tensor
    noise: Tensor | float | None = None
    mask: Tensor | None = None
    filled: Tensor | None = None
    maps: Tensor | None = None
    psf: Tensor | None = None
    trajectory: Tensor | None = None
    density: Tensor | None = None
    matrix: tuple[int, ...] | None = None
    units: str | None = None
    header: Header | None = None
    quality: np.ndarray | None = None
    beams: Beams | None = None
    section: Section | None = None
    profile: bytes | None = None
    affine: np.ndarray | None = None
    reference: Tensor | None = None
    provenance: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise OptionError(f"kind is {self.kind!r}, expected one of {', '.join(KINDS)}.")
        for name in ("data", "mask", "maps", "psf", "trajectory", "density", "reference"):
            value = getattr(self, name)
            if value is not None and not isinstance(value, Tensor):
                raise DataError(
                    f"{name} is a {type(value).__name__}, expected a torch tensor: give "
                    "rimaging.datasets.arrays.to_tensor(array), or the array to a door."
                )
        object.__setattr__(self, "data", self.data.resolve_conj())
        self._check_data()
        if self.trajectory is not None or self.density is not None or self.matrix is not None:
            fitted = fit_trajectory(
                self.kind,
                self.data,
                self.mask,
                self.trajectory,
                self.density,
                self.matrix,
                self.maps,
            )
            for name, value in zip(("trajectory", "density", "matrix"), fitted, strict=True):
                object.__setattr__(self, name, value)
        if self.mask is not None:
            object.__setattr__(self, "mask", self._checked_mask(self.mask))
        self._check_maps_and_psf()
        self._check_noise()
        if self.affine is not None and self.affine.shape != (4, 4):
            raise ShapeError(f"the affine has shape {self.affine.shape}, expected (4, 4).")

    def __repr__(self) -> str:
        """The kind, the shape and what came with it, without values: those of a scan are many."""
        parts = [f"{self.kind} {tuple(self.data.shape)}"]
        for name in ("noise", "mask", "maps", "psf", "trajectory", "reference"):
            value = getattr(self, name)
            if value is not None:
                known = tuple(value.shape) if isinstance(value, Tensor) else f"{value:.4g}"
                parts.append(f"{name} {known}")
        return f"Measurement({', '.join(parts)})"

    @property
    def image_shape(self) -> tuple[int, ...]:
        """Shape (..., y, x) of the images behind the data, on the grid of the data."""
        shape = tuple(self.data.shape)
        if self.trajectory is not None:
            return (*shape[:-3], *(self.matrix or resolved_matrix(self.trajectory)))
        return (*shape[:-3], *shape[-2:]) if self.kind == "kspace" else shape

    @property
    def picture_axes(self) -> int:
        """How many trailing axes make one picture: with its colour; of a volume all."""
        if self.affine is not None:
            return self.data.ndim
        return 3 if self.provenance.get("colour") else 2

    def completed(self) -> Measurement:
        """Fill in what nobody stated, and write each assumption to ``provenance["assumed"]``.

        k-space: the mask is where any coil is not zero, and whole rows or columns of zeros
        (padding) were not measured; a single coil has sensitivity 1. The PSF is normalised and
        made odd. The noise is estimated robustly, for each band of a sky and each picture of a
        batch; the slices of a volume, which has an affine, share it. Idempotent.
        """
        if self.trajectory is not None and self.matrix is None:
            return self._with_matrix().completed()
        notes: list[str] = []
        mask, maps, psf, noise = self.mask, self.maps, self.psf, self.noise
        if self.kind == "kspace":
            if self.trajectory is None:
                mask, note = find_sampled(self.data, mask)
                notes += note
            if maps is None and self.data.shape[-3] == 1:
                size = self._maps_shape
                maps = torch.ones(size, dtype=self.data.dtype, device=self.data.device)
                notes.append("single coil, sensitivity taken as 1")
        if psf is not None:
            psf, changes = prepare_psf(psf)
            notes += changes
            for change in changes:
                if "padded" in change:
                    warnings.warn(change, stacklevel=2)
        if noise is None:
            if self.trajectory is not None:
                noise = estimate_trajectory_noise(self.data, self.trajectory)
                notes.append(f"noise {noise:.4g} estimated from the outer samples of k-space")
            elif self.kind == "kspace":
                assert mask is not None
                noise = estimate_kspace_noise(self.data, mask)
                notes.append(f"noise {noise:.4g} estimated from k-space itself")
            elif self.kind == "sky" and self.data.ndim > 2:
                noise = estimate_band_noise(self.data, mask)
                notes.append("noise of each band estimated from differences of neighbouring pixels")
            elif self.data.shape[: -self.picture_axes].numel() > 1:
                noise, blank = estimate_picture_noise(self.data, mask, self.picture_axes)
                notes += noise_notes(noise, blank)
            else:
                noise = estimate_image_noise(self.data, mask)
                notes += noise_notes(noise)
        if not notes and mask is self.mask and maps is self.maps:
            return self
        provenance = {**self.provenance, "assumed": [*self.provenance.get("assumed", []), *notes]}
        return replace(self, mask=mask, maps=maps, psf=psf, noise=noise, provenance=provenance)

    def _with_matrix(self) -> Measurement:
        assert self.trajectory is not None
        matrix = resolved_matrix(self.trajectory)
        note = f"image of {' x '.join(map(str, matrix))}, as finely as the trajectory resolves it"
        assumed = [*self.provenance.get("assumed", []), note]
        return replace(self, matrix=matrix, provenance={**self.provenance, "assumed": assumed})

    def scaled(self, factor: float) -> Measurement:
        """Give the same measurement in other units: data, noise and reference times ``factor``."""
        noise = None if self.noise is None else self.noise * factor
        reference = None if self.reference is None else self.reference * factor
        return replace(self, data=self.data * factor, noise=noise, reference=reference)

    def likelihood(
        self, *, boundary: Literal["valid", "reflect"] = "reflect", sets: bool = False
    ) -> Gaussian:
        """Build the Gaussian likelihood of the measurement, after `completed`.

        boundary: what a convolved sky does at its edge: "reflect" keeps the grid of the data,
        "valid" asks for an image larger than the data by the PSF less one pixel.
        sets: the maps are (..., set, coil, y, x).

        Raises DataError for k-space of several coils without maps, and for a sky without PSF.
        """
        from rimaging.datasets.likelihoods import (
            image_likelihood,
            kspace_likelihood,
            sky_likelihood,
        )

        whole = self.completed()
        if self.kind == "kspace":
            return kspace_likelihood(whole, sets)
        if self.kind == "sky":
            return sky_likelihood(whole, boundary)
        return image_likelihood(whole)

    @property
    def _maps_shape(self) -> tuple[int, ...]:
        """``(coil, y, x)``, or ``(coil, z, y, x)`` of a trajectory in three dimensions."""
        along = None if self.trajectory is None else self.image_shape[self.data.ndim - 3 :]
        return (self.data.shape[-3], *(along or self.data.shape[-2:]))

    def _check_data(self) -> None:
        axes = 3 if self.kind == "kspace" else 2
        wanted = "(..., coil, y, x)" if self.kind == "kspace" else "(..., y, x)"
        if self.data.ndim < axes or 0 in self.data.shape:
            raise ShapeError(
                f"{self.kind} data has shape {tuple(self.data.shape)}, expected {wanted}."
            )
        if self.kind == "kspace" and not self.data.is_complex():
            raise DataError(
                f"k-space has dtype {self.data.dtype}, expected complex64: join real and "
                "imaginary parts with torch.view_as_complex."
            )
        if not (self.data.is_complex() or self.data.is_floating_point()):
            raise DataError(f"data has dtype {self.data.dtype}, expected float32: use to_tensor.")
        bad = int(self.data.numel() - torch.isfinite(self.data).sum())
        if bad:
            raise DataError(
                f"{bad} of {self.data.numel()} values are NaN or infinite, expected none: "
                "repair them, or fill and mask them with fill_invalid."
            )

    def _checked_mask(self, mask: Tensor) -> Tensor:
        rows, columns = self.data.shape[-2:]
        mask = mask.abs() if mask.is_complex() else mask.to(torch.float32)
        if not bool(((mask == 0) | (mask == 1)).all()):
            raise DataError("the mask has values other than 0 and 1: threshold it, e.g. mask > 0.")
        if not bool(mask.any()):
            raise DataError("the mask is zero everywhere: expected 1 where something was measured.")
        if mask.ndim == 1:
            if mask.shape[0] == rows != columns:
                raise ShapeError(
                    f"the mask has {rows} entries, the length of y, but a mask of one axis goes "
                    f"along x ({columns} columns): give mask[:, None], or transpose the k-space."
                )
            mask = mask[None, :]
        try:
            spatial = np.broadcast_shapes(mask.shape, self.image_shape)
        except ValueError:
            spatial = ()
        if spatial != self.image_shape:
            raise ShapeError(
                f"the mask has shape {tuple(mask.shape)}, the images {self.image_shape}: "
                f"give a mask ({rows}, {columns}) or ({columns},), or crop the data to it."
            )
        mask = mask.expand(*mask.shape[:-2], rows, columns)
        if self.kind == "kspace":
            outside = (self.data != 0) & (mask == 0).unsqueeze(-3)
            count = int(outside.sum())
            if count:
                raise DataError(
                    f"k-space has {count} samples ({count / self.data.numel():.1%}) where the "
                    "mask is 0: multiply k-space by the mask, or give the mask it was taken with."
                )
        return mask

    def _check_maps_and_psf(self) -> None:
        if self.maps is not None:
            if self.kind != "kspace":
                raise OptionError(f"maps given to {self.kind} data: only k-space has coils.")
            wanted = self._maps_shape
            if tuple(self.maps.shape[-len(wanted) :]) != wanted:
                raise ShapeError(
                    f"the maps have shape {tuple(self.maps.shape)}, expected (..., "
                    f"{', '.join(map(str, wanted))}) as k-space: estimate them for this scan."
                )
            if not bool(torch.isfinite(self.maps).all()):
                raise DataError("the maps have NaN or infinite values: set them to zero there.")
        if self.psf is not None and self.kind != "sky":
            raise OptionError(f"a PSF given to {self.kind} data: only kind='sky' is convolved.")

    def _check_noise(self) -> None:
        if self.noise is None:
            return
        noise = torch.as_tensor(self.noise)
        try:
            fits = np.broadcast_shapes(noise.shape, self.data.shape) == self.data.shape
        except ValueError:
            fits = False
        if not fits:
            raise ShapeError(
                f"the noise has shape {tuple(noise.shape)}, the data {tuple(self.data.shape)}: "
                "give one number, or sigma per pixel, or per coil as (coil, 1, 1)."
            )
        bad = ~(torch.isfinite(noise) & (noise > 0))
        if self.mask is not None and noise.ndim > 0:
            mask = self.mask.unsqueeze(-3) if self.kind == "kspace" else self.mask
            bad = bad & (mask > 0)
        if bool(bad.any()):
            raise DataError(
                f"the noise is zero, negative or not finite at {int(bad.sum())} values, expected "
                "sigma > 0: mask those pixels, or leave the noise out to have it estimated."
            )
