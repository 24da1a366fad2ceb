"""The function that is done to each block, named so that every worker builds it by itself."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rimaging.errors import DataError, OptionError
from rimaging.mosaic.tiles import Unit

Planes = dict[str, NDArray[Any]]
Process = Callable[[NDArray[Any], Unit], NDArray[Any] | Planes]


@dataclass(frozen=True)
class Task:
    """What to do with a block.

    factory: ``"package.module:function"``; called with ``settings`` it gives
    ``process(block, unit)``, the answer on the block (or on its core) as one array or as named
    planes. settings: plain values of JSON; arrays by `pack`; weights by path and sha256, so
    that no code travels. planes: the names of what comes back. bytes_per_pixel: of what is computed
    at once, beside the values of the block; batch_pixels: how much that is (one plane at least).
    """

    factory: str
    settings: dict[str, Any] = field(default_factory=dict)
    planes: tuple[str, ...] = ("image",)
    bytes_per_pixel: float = 64.0
    batch_pixels: int = 1 << 20

    def build(self) -> Process:
        """The process; built once in a Python process."""
        return _built(self.factory, json.dumps(self.settings, sort_keys=True))


@lru_cache(maxsize=4)
def _built(factory: str, settings: str) -> Process:
    process: Process = imported(factory)(json.loads(settings))
    return process


def imported(name: str) -> Callable[..., Any]:
    """The object ``"package.module:name"``; raises OptionError where there is none."""
    module, _, attribute = name.partition(":")
    try:
        found: Callable[..., Any] = getattr(import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise OptionError(
            f"{name!r} cannot be imported ({error}): write 'package.module:function', and install "
            "the package on every worker"
        ) from None
    return found


def planes_of(
    answer: NDArray[Any] | Planes, unit: Unit, names: tuple[str, ...]
) -> dict[str, NDArray[np.float32]]:
    """The core of each plane of an answer, float32, native and contiguous.

    Raises DataError for planes of another name or shape than the task promised.
    """
    planes = answer if isinstance(answer, dict) else {names[0]: answer}
    if set(planes) != set(names):
        raise DataError(f"the task gave {sorted(planes)}, expected {sorted(names)}: see its planes")
    cores = {}
    for name in names:
        array = planes[name]
        if array.shape == unit.block_shape:
            array = array[unit.inside]
        if array.shape != unit.shape:
            raise DataError(
                f"{unit}: the task gave {name} of shape {array.shape}, expected that of the block "
                f"{unit.block_shape} or of its core {unit.shape}"
            )
        cores[name] = np.ascontiguousarray(array, dtype=np.float32)
    return cores


def pack(array: NDArray[Any]) -> dict[str, Any]:
    """An array as plain values, bit for bit."""
    data = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
    return {
        "dtype": data.dtype.str,
        "shape": list(array.shape),
        "base64": base64.b64encode(data.tobytes()).decode(),
    }


def unpack(packed: dict[str, Any]) -> NDArray[Any]:
    """The array of `pack`, writable and of native byte order."""
    data = np.frombuffer(base64.b64decode(packed["base64"]), dtype=packed["dtype"])
    return data.reshape(packed["shape"]).astype(data.dtype.newbyteorder("="))


def digest(text: str) -> str:
    """Hex sha256 of a text."""
    return hashlib.sha256(text.encode()).hexdigest()
