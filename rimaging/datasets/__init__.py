"""Files in and out: measurements in, reconstructions out.

The functions `open`, `save` and `inspect` are in the modules of their names.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rimaging.datasets.data_card import DataCard, data_root, load_data_card
    from rimaging.datasets.measurement import Measurement
    from rimaging.datasets.operator_card import OperatorCard, load_operator_card

_HOMES = {
    "DataCard": "data_card",
    "Measurement": "measurement",
    "OperatorCard": "operator_card",
    "data_root": "data_card",
    "load_data_card": "data_card",
    "load_operator_card": "operator_card",
}

__all__ = [
    "DataCard",
    "Measurement",
    "OperatorCard",
    "data_root",
    "load_data_card",
    "load_operator_card",
]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first asked for (PEP 562)."""
    if name in _HOMES:
        return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(
        f"module {__name__!r} has no attribute {name!r}; it has {', '.join(__all__)}"
    )
