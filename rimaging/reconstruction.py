"""The noun that comes out of every door: an image, and what speaks for and against it."""

from __future__ import annotations

import base64
import html as markup
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from rimaging import __version__
from rimaging.datasets.arrays import to_tensor
from rimaging.datasets.fits_planes import Plane
from rimaging.datasets.layout import Layout
from rimaging.datasets.lead_axes import as_stored
from rimaging.datasets.measurement import Kind, Measurement
from rimaging.datasets.picture_range import stretch
from rimaging.datasets.save import as_hdus, save
from rimaging.datasets.sources import Array
from rimaging.errors import DataError
from rimaging.reports.arrays import to_numpy
from rimaging.reports.diagnostics import Diagnostics
from rimaging.reports.files import write_whole
from rimaging.reports.shown import middle, nearest_known, one_field

if TYPE_CHECKING:
    from astropy.io.fits import HDUList
    from astropy.nddata import CCDData

    from rimaging.reports.html import Picture


@dataclass(frozen=True, kw_only=True, eq=False)
class Reconstruction:
    """An image, and what speaks for and against it.

    image: as NumPy or torch, whichever came in. residual: ``(y - A x) / sigma`` on the grid of the
    data, 0 where nothing was measured. chi2: its mean square, 1 if the noise is as stated.
    uncertainty: standard deviation of each pixel of the image (of a real component), where it was
    asked for; see `rimaging.uncertainty`. diagnostics: tests of the residual, in words by
    ``diagnostics.verdicts()``. provenance: method, weights, settings, and
    every assumption that was made. steps: the estimate after each step, if it was asked for, and
    step_chi2 what chi2 was then.
    estimate: the image as `rimaging.datasets` keeps it, where ``image`` has other axes or units,
    and layout: how the axes of ``image`` and its companions lie then.
    planes: further images that go into a FITS file with it.
    """

    image: Array
    residual: Array
    chi2: float
    diagnostics: Diagnostics
    provenance: dict[str, Any]
    uncertainty: Array | None = None
    measurement: Measurement | None = None
    steps: list[Array] = field(default_factory=list)
    step_chi2: tuple[float, ...] = ()
    estimate: Tensor | None = None
    layout: Layout = Layout.PLANES
    planes: tuple[Plane, ...] = ()

    def save(
        self, path: str | Path, overwrite: bool = False, like: str | Path | None = None
    ) -> Path:
        """Write the image in the format of the suffix, with geometry and provenance.

        .npy and .npz hold the arrays as they are here, other formats pictures as ``estimate``.
        A path that ends with / becomes a folder of DICOM files, with ``like`` those of a series of
        the same scan: its patient, study and geometry.

        Raises FormatError: see `rimaging.datasets.save.save`.
        """
        as_here = str(path).lower().endswith((".npy", ".npz"))
        return save(
            path,
            self.image if as_here else as_stored(path, self._kept, self.measurement),
            self.measurement,
            residual=self.residual if as_here else self._kept_residual,
            uncertainty=self.uncertainty if as_here else self._kept_uncertainty,
            provenance=self._facts(),
            history=self._line(),
            overwrite=overwrite,
            like=like,
            planes=self.planes,
        )

    def stretch(self, path: str | Path) -> tuple[float, float] | None:
        """The values that become black and white in a picture, where they are not 0 and 1.

        None where the file keeps values; see `rimaging.datasets.save.save`.
        """
        return stretch(path, self._kept, self.measurement)

    def save_error(self, path: str | Path, overwrite: bool = False) -> Path:
        """Write ``uncertainty`` as an image of its own, for formats that hold one: NIfTI, pictures.

        Raises DataError where it was not asked for, else as `save`.
        """
        error = self._kept_uncertainty
        if error is None:
            raise DataError("the reconstruction has no error map: ask for one, error_map=8")
        stored = as_stored(path, error, self.measurement)
        return save(path, stored, self.measurement, provenance=self._facts(), overwrite=overwrite)

    def to_hdulist(self) -> HDUList:
        """What `save` writes to a .fits file, as an astropy ``HDUList`` in memory."""
        return as_hdus(
            self._kept,
            self.measurement,
            residual=self._kept_residual,
            uncertainty=self._kept_uncertainty,
            provenance=self._facts(),
            history=self._line(),
            planes=self.planes,
        )

    def to_ccddata(self) -> CCDData:
        """The image as an astropy ``CCDData`` with unit, WCS, header, mask, uncertainty and PSF."""
        from rimaging.datasets.ccddata import to_ccddata

        return to_ccddata(self.to_hdulist())

    def to_ds9(self) -> Path:
        """Open the image and its companions in DS9; gives the temporary FITS file that it shows.

        Raises OptionError where DS9 is not installed.
        """
        from rimaging.reports.viewers import find_ds9, show_ds9

        program = find_ds9()
        path = self.save(Path(tempfile.mkdtemp(prefix="rimaging-")) / "reconstruction.fits")
        show_ds9(path, program)
        return path

    def to_napari(self) -> Any:
        """Show image, residual and uncertainty in a new napari viewer, and give the viewer.

        Raises OptionError where napari is not installed.
        """
        from rimaging.reports.viewers import show_napari

        known = self._kept_uncertainty
        named = {"image": self._kept, "residual": self._kept_residual, "uncertainty": known}
        return show_napari({k: to_numpy(v) for k, v in named.items() if v is not None})

    def report(self, path: str | Path) -> Path:
        """Write one HTML page: the data and the image under a slider, the residual, the facts.

        Raises FormatError where the file cannot be written.
        """
        from rimaging.reports.figures import residual_plot
        from rimaging.reports.html import Comparison, Picture, report, save_report

        before = self._before()
        shown = self._shown(to_tensor(self._kept))
        label = "zero-filled" if self._kind == "kspace" else "observed"
        same = before is not None and one_field(before, shown)
        left = to_tensor(self._kept_residual)
        left = self._shown(left) if self._kind == "sky" else middle(left, 2)
        plot = residual_plot(planar(left))
        error = self._kept_uncertainty
        page = report(
            f"Reconstruction by {self.provenance['method']}",
            comparison=Comparison(
                before=before, after=shown, kind=self._kind, labels=(label, "reconstructed")
            )
            if same and before is not None
            else None,
            diagnostics=self.diagnostics,
            pictures=[
                *([] if same else [Picture(title="image", image=shown, kind=self._kind)]),
                Picture(
                    title="Residual",
                    image=plot,
                    caption="What the image leaves unexplained, in units of the noise.",
                ),
                *([] if error is None else [self._error_picture(to_tensor(error))]),
            ],
            provenance=self.provenance,
        )
        return save_report(path, page)

    def film(self, path: str | Path) -> Path:
        """Write inference in time as a PNG: the estimate at each step, and a curve.

        The curve is PSNR where the measurement has a reference, else the relative change and chi2.
        Raises DataError where the steps were not kept (``keep_steps=True``), FormatError where the
        file cannot be written.
        """
        from rimaging.reports.film import film

        reference = None if self.measurement is None else self.measurement.reference
        steps = [self._as_kept(to_tensor(step)) for step in self.steps]
        if reference is not None and steps and tuple(reference.shape) != tuple(steps[-1].shape):
            reference = None
        if self._kind == "sky":
            steps = [self._shown(step) for step in steps]
            reference = None if reference is None else self._shown(reference)
        before = None if self._kind == "kspace" else self._before()
        picture = film(
            steps,
            self._kind,
            reference=reference,
            changes=self.diagnostics.changes,
            chi2=self.step_chi2,
            before=before,
        )
        return write_whole(path, picture)

    def _repr_html_(self) -> str:
        """Show the image and the verdicts in a notebook."""
        from rimaging.reports.html import preview

        shown = self._shown(to_tensor(self._kept)) if self._kind == "sky" else self._kept
        picture = base64.b64encode(preview(shown, self._kind, None, 512)).decode()
        verdicts = "<br>".join(markup.escape(v.text) for v in self.diagnostics.verdicts())
        return (
            f'<figure><img alt="reconstruction" src="data:image/png;base64,{picture}">'
            f"<figcaption>{markup.escape(self._line())}<br>{verdicts}</figcaption></figure>"
        )

    def __repr__(self) -> str:
        kind = "torch" if isinstance(self.image, Tensor) else "NumPy"
        return f"Reconstruction({kind} {tuple(self.image.shape)}, {self._line()})"

    def _as_kept(self, image: Tensor) -> Tensor:
        """A step or error in the layout and units of `estimate`, which the caller did not use."""
        if self.estimate is None:
            return image
        return self.layout.planes(image) / float(self.provenance.get("white", 1.0))

    @property
    def _kept_residual(self) -> Array:
        if self.layout is Layout.PLANES:
            return self.residual
        return self.layout.planes(to_tensor(self.residual))

    @property
    def _kept_uncertainty(self) -> Array | None:
        if self.uncertainty is None or self.estimate is None:
            return self.uncertainty
        return self._as_kept(to_tensor(self.uncertainty))

    def _error_picture(self, error: Tensor) -> Picture:
        from rimaging.reports.html import Picture

        shown = self._shown(error)
        how = self.provenance.get("error_map", {})
        said = f"over {how.get('replicates', '')} repetitions of the measurement"
        if how.get("learned"):
            said = "as the weights learned to tell it"
        return Picture(
            title="Error map",
            image=shown,
            kind=self._kind,
            caption=(
                f"Standard deviation of each pixel {said}; "
                f"{float(shown.min()):.3g} to {float(shown.max()):.3g}."
            ),
        )

    def _shown(self, array: Tensor) -> Tensor:
        """The picture to show: the middle one; of the bands of a sky the nearest with an image."""
        if self._kind != "sky" or array.ndim < 3:
            return middle(array, 3 if self._colour else 2)
        return nearest_known(array, to_tensor(self._kept))

    @property
    def _kept(self) -> Array:
        return self.image if self.estimate is None else self.estimate

    @property
    def _kind(self) -> Kind:
        return "image" if self.measurement is None else self.measurement.kind

    @property
    def _colour(self) -> bool:
        shape = self._kept.shape
        told = self.measurement is None or bool(self.measurement.provenance.get("colour"))
        return told and self._kind == "image" and len(shape) > 2 and shape[-3] == 3

    def _facts(self) -> dict[str, Any]:
        return {**self.provenance, "chi2": float(self.chi2)}

    def _line(self) -> str:
        weights = self.provenance.get("weights")
        named = f" {weights['name']} {weights['sha256'][:12]}" if weights else ""
        return f"rimaging {__version__} {self.provenance['method']}{named}, chi2 {self.chi2:.3f}"

    def _before(self) -> Tensor | None:
        """The data as a picture: of k-space the zero-filled image of the middle slice."""
        if self.measurement is None:
            return None
        if self._kind != "kspace":
            return self._shown(self.measurement.data)
        kspace, along = middle(self.measurement.data, 3), self.measurement.trajectory
        if along is not None:
            from rimaging.solvers.noncartesian import grid_coils

            image = grid_coils(kspace, middle(along, 3), self.measurement.image_shape)
            image = middle(image, 2)
        else:
            from rimaging.solvers.zero_filled import zero_filled

            image = zero_filled(kspace, kspace.new_ones(kspace.shape[-2:], dtype=torch.float32))
        return centre_crop(image, (self._kept.shape[-2], self._kept.shape[-1]))


def like(result: Reconstruction, source: object) -> Reconstruction:
    """Give arrays as the source came: torch for tensors and measurements, else NumPy."""
    if isinstance(source, Tensor | Measurement):
        return result
    uncertainty = result.uncertainty
    return replace(
        result,
        image=to_numpy(result.image),
        residual=to_numpy(result.residual),
        uncertainty=None if uncertainty is None else to_numpy(uncertainty),
        steps=[to_numpy(step) for step in result.steps],
    )


def centre_crop(image: Tensor, size: Sequence[int]) -> Tensor:
    """The middle ``size`` of the last two axes, beginning at ``(n - m) // 2``; never enlarged."""
    for axis, length in zip((-2, -1), size, strict=True):
        if image.shape[axis] > length:
            image = image.narrow(axis, (image.shape[axis] - length) // 2, length)
    return image


def planar(array: Tensor) -> Tensor:
    """With two axes at least, as a picture has."""
    return array if array.ndim > 1 else array[None]
