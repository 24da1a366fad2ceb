"""Samplers for training: batches of measurements, and the truth behind them.

Each is made from the parameters of an operator card, the root of the data and a split, and
``sampler(generator, batch, size)`` gives ``(likelihood, truth)``, which follow from the state of
the generator alone.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rimaging.datasets.simulate.features import Features
    from rimaging.datasets.simulate.kspace import KSpace
    from rimaging.datasets.simulate.microscopy import Microscopy
    from rimaging.datasets.simulate.photographs import Photographs
    from rimaging.datasets.simulate.pictures import Pictures
    from rimaging.datasets.simulate.sky import Sky

__all__ = ["SAMPLERS", "Features", "KSpace", "Microscopy", "Photographs", "Pictures", "Sky"]

SAMPLERS = {
    "photographs": "Photographs",
    "pictures": "Pictures",
    "microscopy": "Microscopy",
    "features": "Features",
    "kspace": "KSpace",
    "sky": "Sky",
}
"""Class by the ``sampler`` of an operator card; the module has the name of the card's entry."""


def __getattr__(name: str) -> Any:
    """Import a sampler when it is first asked for (PEP 562)."""
    for module, sampler in SAMPLERS.items():
        if sampler == name:
            return getattr(import_module(f"{__name__}.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
