"""The scenes of the demonstration: a sky, a scan, a photograph; a real scan if there is one."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rimaging import astro, image, mri
from rimaging.datasets.data_card import data_root
from rimaging.datasets.simulate.coils import coil_profiles, normalise
from rimaging.datasets.simulate.masks import poisson_disc
from rimaging.datasets.simulate.phase import smooth_phase
from rimaging.errors import FormatError
from rimaging.operators.cartesian import CartesianMRI
from rimaging.operators.convolution import Convolution
from rimaging.operators.espirit import espirit
from rimaging.operators.fourier import Fourier
from rimaging.operators.target import relative_kernel
from rimaging.reconstruction import Reconstruction
from rimaging.reports.diagnostics import Diagnostics
from rimaging.reports.figures import strip
from rimaging.reports.html import Chapter, Comparison, Method, Picture
from rimaging.reports.metrics import psnr, ssim
from rimaging.reports.scales import Kind
from rimaging.solvers.richardson_lucy import richardson_lucy_snapshots
from rimaging.solvers.tuning import tune
from rimaging.solvers.wiener import wiener

OURS = "RIM"


@dataclass
class Scene:
    """One measurement with its truth, and what each method makes of it.

    rows: scores in the order they were taken, the data as they came (or zero-filled) first.
    images: the picture of each row. facts: a few numbers for the report.
    """

    title: str
    about: str
    kind: Kind
    truth: Tensor
    rows: list[Method] = field(default_factory=list)
    images: dict[str, Tensor] = field(default_factory=dict)
    facts: dict[str, object] = field(default_factory=dict)
    diagnostics: Diagnostics | None = None

    def observe(self, name: str, image: Tensor) -> None:
        """Score the data as they came, which takes no time."""
        self._score(name, image, None)

    def add(self, name: str, run: Callable[[], Tensor | Reconstruction]) -> None:
        """Run a method, time it and score its (magnitude) image against the truth."""
        started = time.perf_counter()
        result = run()
        seconds = time.perf_counter() - started
        if isinstance(result, Reconstruction):
            found = torch.as_tensor(result.image)
            self.diagnostics = result.diagnostics if name == OURS else self.diagnostics
        else:
            found = result
        self._score(name, found.abs() if found.is_complex() else found, seconds)

    def _score(self, name: str, found: Tensor, seconds: float | None) -> None:
        peak = float(self.truth.max())
        self.images[name] = found
        self.rows.append(
            Method(
                name=name,
                psnr=psnr(self.truth, found, peak),
                ssim=ssim(self.truth, found, peak),
                seconds=seconds,
            )
        )

    def chapter(self) -> Chapter:
        """The scene as a part of the report."""
        names = list(self.images)
        shown = {name: self.images[name] for name in (names[0], self._rival(), OURS)}
        return Chapter(
            title=self.title,
            summary=self.about,
            comparison=Comparison(
                before=self.images[names[0]],
                after=self.images[OURS],
                kind=self.kind,
                labels=(names[0], OURS),
            ),
            facts=self.facts,
            methods=self.rows,
            diagnostics=self.diagnostics,
            pictures=[
                Picture(
                    title="Errors",
                    image=strip(shown, self.kind, reference=self.truth),
                    caption="Above the images, beside the truth; below five times the errors.",
                )
            ],
        )

    def _rival(self) -> str:
        """The best of the other methods by PSNR."""
        others = [row for row in self.rows[1:] if row.name != OURS]
        return max(others, key=lambda row: row.psnr or 0.0).name


def sky() -> Scene:
    """A telescope image: the Hubble Deep Field, blurred by a wider PSF, with noise (simulated)."""
    from skimage import data

    colour = torch.from_numpy(data.hubble_deep_field().astype(np.float32))
    truth = colour.mean(dim=-1)[430:750, 330:650].contiguous()
    generator = torch.Generator().manual_seed(1)
    psf, sigma = astro.as_psf("moffat:4.5:3.0"), 3.0
    kernel = relative_kernel(psf, astro.TARGET)
    blurred = Convolution(kernel, truth.shape, "reflect")(truth)
    y = blurred + sigma * torch.randn(truth.shape, generator=generator)
    scene = Scene(
        title="A sky: Hubble Deep Field",
        about="Simulated: a picture of the Hubble Deep Field (scikit-image) is taken as the sky at "
        "a resolution of 2 pixels, blurred further to a Moffat PSF of 4.5 pixels, with Gaussian "
        "noise of 3 counts. Richardson-Lucy and Wiener are tuned on the truth; the RIM is not.",
        kind="sky",
        truth=truth,
        facts={"PSF": "4.5 px", "target": "2 px", "noise": "3 counts"},
    )
    scene.observe("observed", y)
    scene.add("Richardson-Lucy, best count", partial(_richardson_lucy, y, kernel, truth))
    scene.add("Wiener, best ratio", partial(_wiener, y, kernel, truth))
    scene.add(OURS, lambda: astro.deconvolve(y, psf, noise=sigma))
    return scene


def scan() -> Scene:
    """An MR scan: a slice of a real volume, its multi-coil k-space simulated, 4x undersampled."""
    import nibabel

    file = Path(nibabel.__file__).parent / "tests" / "data" / "example4d.nii.gz"
    volume: NDArray[Any] = np.asarray(nibabel.load(file).dataobj)  # type: ignore[attr-defined]
    turned = np.rot90(volume[:, :, 12, 0].astype(np.float32)).copy()
    magnitude = torch.from_numpy(turned / turned.max())
    rows, columns = magnitude.shape
    side = max(rows, columns)
    generator = torch.Generator().manual_seed(2)
    square = (slice((side - rows) // 2, (side + rows) // 2), slice(0, columns))
    maps, _ = normalise(coil_profiles(generator, 8, side)[:, square[0], square[1]])
    x = magnitude * torch.exp(1j * smooth_phase(generator, side)[square])
    mask = poisson_disc((rows, columns), 4.0, 20, 2.0, 3)
    clean = CartesianMRI(maps, mask)(x)
    noise = torch.view_as_complex(torch.randn(*clean.shape, 2, generator=generator))
    kspace = clean + 0.01 * mask * noise
    scene = Scene(
        title="A scan: brain, 8 coils, 4x undersampled",
        about="Simulated from a real MR magnitude (nibabel's example4d.nii.gz): a smooth phase, 8 "
        "coils, variable-density Poisson-disc sampling of a quarter of k-space, noise. All methods "
        "use the same ESPIRiT maps, from the undersampled data; the penalties are fixed: "
        f"lambda {mri.LAMDA['cg-sense']:g} for CG-SENSE, {mri.LAMDA['l1-wavelet']:g} for wavelets, "
        f"{mri.LAMDA['tv']:g} for TV.",
        kind="kspace",
        truth=magnitude,
    )
    _reconstruct(scene, kspace, mask, sets=1)
    return scene


def photograph() -> Scene:
    """A photograph: the cameraman of scikit-image with noise of 25 counts (simulated)."""
    from skimage import data
    from skimage.restoration import denoise_nl_means, denoise_tv_chambolle

    truth = torch.from_numpy(data.camera().astype(np.float32) / 255)
    sigma = 25 / 255
    generator = torch.Generator().manual_seed(4)
    y = truth + sigma * torch.randn(truth.shape, generator=generator)

    def total_variation() -> Tensor:
        return torch.from_numpy(denoise_tv_chambolle(y.numpy(), weight=0.1))

    def nl_means() -> Tensor:
        cleaned = denoise_nl_means(
            y.numpy(), patch_size=5, patch_distance=6, h=0.6 * sigma, sigma=sigma, fast_mode=True
        )
        return torch.from_numpy(cleaned)

    scene = Scene(
        title="A photograph: camera, noise of 25 counts",
        about="Simulated: white Gaussian noise on a photograph of scikit-image. Total variation "
        "(weight 0.1) and non-local means (h = 0.6 sigma) are those of scikit-image.",
        kind="image",
        truth=truth,
        facts={"noise": "25 of 255", "size": "512 x 512"},
    )
    scene.observe("noisy", y)
    scene.add("total variation", total_variation)
    scene.add("non-local means", nl_means)
    scene.add(OURS, lambda: image.denoise(y, sigma))
    return scene


def real_scan() -> Scene | None:
    """A real scan: fully sampled 8-coil brain k-space of RIMAGING_DATA, 4x undersampled."""
    from rimaging.datasets.open import open

    try:
        path = data_root() / "mri" / "multicoil" / "brain_alias_8ch.npz"
    except FormatError:
        return None
    if not path.is_file():
        return None
    full = open(path).data
    columns = (full != 0).any(dim=0).any(dim=0)
    truth = Fourier((full.shape[-2], full.shape[-1])).adjoint(full).abs().square().sum(0).sqrt()
    # The outer columns were never measured (partial resolution): the pattern stays inside.
    mask = torch.zeros(full.shape[-2:], dtype=torch.bool)
    mask[:, columns] = poisson_disc((full.shape[-2], int(columns.sum())), 4.0, 24, 2.0, 5)
    scene = Scene(
        title="A real scan: brain, 8 coils, 4x undersampled",
        about="Real k-space, fully sampled, of which variable-density Poisson-disc sampling keeps "
        "a quarter. The head is wider than the field of view, so all methods use two sets of "
        "ESPIRiT maps, from the undersampled data; penalties as above. The reference is the "
        "root-sum-of-squares of the full data, with its noise.",
        kind="kspace",
        truth=truth,
    )
    _reconstruct(scene, full * mask, mask, sets=2)
    scene.facts["acceleration"] = f"{float(columns.sum() * len(mask) / mask.sum()):.1f}x"
    return scene


def _reconstruct(scene: Scene, kspace: Tensor, mask: Tensor, sets: int) -> None:
    """The table of an MR scan; every method gets the same maps."""
    started = time.perf_counter()
    maps = espirit(kspace, mask, sets=sets)
    scene.facts |= {
        "acceleration": f"{mask.numel() / float(mask.sum()):.1f}x",
        "coils": kspace.shape[-3],
        "size": f"{kspace.shape[-2]} x {kspace.shape[-1]}",
        "maps": f"{time.perf_counter() - started:.2g} s",
    }
    names: dict[str, mri.MethodName] = {
        "zero-filled": "zero-filled",
        "CG-SENSE": "cg-sense",
        "L1-wavelet": "l1-wavelet",
        "total variation": "tv",
        OURS: "rim",
    }
    for name, method in names.items():
        scene.add(
            name,
            partial(
                mri.reconstruct, kspace, mask=mask, maps=maps, method=method, sets=sets, crop=False
            ),
        )


def _richardson_lucy(y: Tensor, kernel: Tensor, truth: Tensor) -> Tensor:
    """The iterate nearest to the truth."""
    counts = (1, 2, 3, 5, 7, 10, 14, 20, 30, 45)
    found = richardson_lucy_snapshots(y, kernel, counts, boundary="reflect")
    return found[int((found - truth).square().mean(dim=(-2, -1)).argmin())]


def _wiener(y: Tensor, kernel: Tensor, truth: Tensor) -> Tensor:
    """The estimate nearest to the truth, with the power spectrum of smooth skies."""
    solve = partial(wiener, y, kernel, slope=2.0)
    best = tune(lambda ratio: -float((solve(ratio) - truth).square().mean()), 1e-3, 1e2, grid=6)
    return solve(best.value)
