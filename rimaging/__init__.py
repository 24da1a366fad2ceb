"""rimaging: Recurrent Inference Machines for MRI, astronomy and imaging.

>>> import rimaging
>>> measurement = rimaging.open("scan.h5")                      # doctest: +SKIP
>>> result = rimaging.mri.reconstruct(kspace, mask=mask)        # doctest: +SKIP
>>> result.save("scan.nii.gz")                                  # doctest: +SKIP

Everything loads at first use, so that `import rimaging` costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rimaging import astro, image, mosaics, mri
    from rimaging.datasets.measurement import Measurement
    from rimaging.datasets.open import open
    from rimaging.reconstruction import Reconstruction

__version__ = "0.1.0"

__all__ = [
    "Measurement",
    "Reconstruction",
    "__version__",
    "astro",
    "image",
    "mosaics",
    "mri",
    "open",
]

_DOORS = ("astro", "image", "mosaics", "mri")
_HOMES = {
    "Measurement": "rimaging.datasets.measurement",
    "Reconstruction": "rimaging.reconstruction",
    "open": "rimaging.datasets.open",
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first asked for (PEP 562)."""
    if name in _DOORS:
        return import_module(f"rimaging.{name}")
    if name in _HOMES:
        value = getattr(import_module(_HOMES[name]), name)
        globals()[name] = value
        return value
    raise AttributeError(
        f"module 'rimaging' has no attribute {name!r}; it has {', '.join(__all__)}"
    )


def __dir__() -> list[str]:
    return sorted(__all__)
