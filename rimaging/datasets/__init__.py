"""Files in and out: measurements in, reconstructions out.

The functions `open`, `save` and `inspect` are in the modules of their names.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rimaging.datasets.cards import (
        DataCard,
        OperatorCard,
        data_root,
        load_data_card,
        load_operator_card,
    )
    from rimaging.datasets.measurement import Measurement

_HOMES = {
    "DataCard": "cards",
    "Measurement": "measurement",
    "OperatorCard": "cards",
    "data_root": "cards",
    "load_data_card": "cards",
    "load_operator_card": "cards",
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
