"""Images to scan: real magnitude and complex MR images, and photographs, cut at random."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
import torch.nn.functional as functional
from torch import Tensor

from rimaging.datasets.data_card import SPLITS, Split
from rimaging.datasets.simulate.distributions import integer
from rimaging.datasets.simulate.photographs import bsds300, dihedral
from rimaging.errors import FormatError, OptionError

SUBJECTS: dict[str, dict[str, range]] = {
    # Neighbouring slices of chest100 can be one subject: one is left out between the splits.
    "chest100": {"train": range(84), "validation": range(85, 92), "test": range(93, 100)},
    "ptbp48x3": {"train": range(40), "validation": range(40, 44), "test": range(44, 48)},
    "oasis14": {"train": range(10), "validation": range(10, 12), "test": range(12, 14)},
    # One head only, so it can serve one split only.
    "brain_axial24": {"train": range(24), "validation": range(0), "test": range(0)},
}
"""Rows (subjects) of the magnitude files that belong to each split."""

KELLMAN = {"train": ("02", "06", "09", "11"), "validation": ("05",), "test": ("10",)}
"""Complex files of each split: different planes, but of one subject."""


class Anatomy:
    """Sources of images by name, each a sequence of 2-D tensors: magnitudes, complex, photographs.

    ``images["kellman"]`` is complex; the others are magnitudes with maximum 1.
    """

    def __init__(self, root: Path, split: Split) -> None:
        """Read the files below ``root``/mri and ``root``/natural; absent MR files are left out."""
        if split not in SPLITS:
            raise OptionError(f"split {split!r} is unknown: use one of {', '.join(SPLITS)}.")
        self.images: dict[str, Sequence[Tensor]] = {}
        for name, rows in SUBJECTS.items():
            path = Path(root) / "mri" / "magnitude" / f"{name}.npz"
            if path.exists() and rows[split]:
                self.images[name] = _magnitudes(path, rows[split])
        folder = Path(root) / "mri" / "complex"
        files = [folder / f"kellman_{number}.npz" for number in KELLMAN[split]]
        echoes = [echo for path in files if path.exists() for echo in _echoes(path)]
        if echoes:
            self.images["kellman"] = echoes
        if not self.images:
            raise FormatError(f"no MR images below {root}/mri: expected magnitude/*.npz there.")
        self.magnitudes = [name for name in self.images if name != "kellman"]
        self.images["photographs"] = bsds300(Path(root), split)

    def cut(self, source: str, generator: torch.Generator, size: int) -> Tensor:
        """Draw an image of a source: a random window, scaled to (size, size), turned at random.

        The window has 45 to 100 % of the shorter side (never so small that it is enlarged by
        more than a quarter, where the image allows) and an aspect ratio within 15 %.
        """
        for _ in range(20):
            cut = self._window(source, generator, size)
            magnitude = cut.abs()
            # A window of mere background teaches nothing and has no signal to noise.
            if (magnitude > 0.1 * magnitude.max()).float().mean() > 0.15:
                break
        return dihedral(cut, integer(0, 7, generator))

    def _window(self, source: str, generator: torch.Generator, size: int) -> Tensor:
        images = self.images[source]
        image = images[integer(0, len(images) - 1, generator)]
        height, width = image.shape
        side = min(height, width)
        u = torch.rand(5, generator=generator).tolist()
        least = min(max(0.8 * size, 0.45 * side), side)
        window = least + (side - least) * u[0] ** 0.5
        stretch = 0.85 + 0.15 * u[1]
        h, w = (window, window * stretch) if u[4] < 0.5 else (window * stretch, window)
        top, left = int(u[2] * (height - int(h) + 1)), int(u[3] * (width - int(w) + 1))
        piece = image[top : top + int(h), left : left + int(w)]
        planes = torch.stack([piece.real, piece.imag]) if piece.is_complex() else piece[None]
        # Bicubic: a bilinear kernel dims the corners of k-space, which a scanner fills.
        scaled = functional.interpolate(
            planes[None].float(), (size, size), mode="bicubic", antialias=True
        )[0]
        return torch.complex(scaled[0], scaled[1]) if piece.is_complex() else scaled[0]


def _magnitudes(path: Path, rows: range) -> list[Tensor]:
    """Slices of some subjects, each scaled to maximum 1."""
    import numpy as np

    with np.load(path) as file:
        images = file["images"][rows.start : rows.stop].astype(np.float32)
    stack = torch.from_numpy(images).reshape(-1, *images.shape[-2:])
    return [image / image.max().clamp_min(1e-12) for image in stack]


def _echoes(path: Path) -> list[Tensor]:
    """Every echo of a complex multi-echo file, each scaled to maximum magnitude 1."""
    import numpy as np

    with np.load(path) as file:
        images = file["images"].astype(np.complex64)
    return [image / image.abs().max() for image in torch.from_numpy(images)]
