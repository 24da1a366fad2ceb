"""Readers of blocks: plain values at an offset, tile-compressed FITS, Zarr, or made up.

Every image is ``(channel, y, x)``: leading axes are flattened.
"""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from rimaging.errors import FormatError, RimagingError
from rimaging.mosaic.task import imported

Slices = tuple[slice, slice, slice]
Description = dict[str, Any]


class Source(Protocol):
    """Gives blocks of an image."""

    def read(self, block: Slices) -> NDArray[Any]:
        """The block ``(channel, y, x)`` as float32 of native byte order; flags as int64."""


class Scaled:
    """How stored values become those of the image: the scale and the blank of FITS."""

    def __init__(self, description: Description) -> None:
        self.scale: float = description.get("scale", 1.0)
        self.zero: float = description.get("zero", 0.0)
        self.blank: int | None = description.get("blank")
        self.flags: bool = description.get("flags", False)

    def physical(self, raw: NDArray[Any]) -> NDArray[Any]:
        """What stored values stand for, blanks as NaN; of flags the bits, the sign among them."""
        if self.flags:
            bits = 8 * raw.dtype.itemsize
            values = raw.astype(np.int64) + int(self.zero)
            return values if bits == 64 else values & ((1 << bits) - 1)
        if self.scale == 1 and self.zero == 0 and self.blank is None:
            return raw.astype(np.float32)
        values = (raw.astype(np.float64) * self.scale + self.zero).astype(np.float32)
        if self.blank is not None:
            values[raw == self.blank] = np.nan
        return values


class Raw:
    """Plain values at an offset of a file, of any byte order and with the scale of FITS.

    Rows are read by position: nothing is mapped, so that memory does not grow with the image.
    """

    def __init__(self, description: Description) -> None:
        self.path = Path(description["path"])
        self.offset: int = description["offset"]
        self.dtype = np.dtype(description["dtype"])
        self.shape: list[int] = description["shape"]
        self.scaled = Scaled(description)
        self.file = os.open(self.path, os.O_RDONLY)

    def __del__(self) -> None:
        if hasattr(self, "file"):
            os.close(self.file)

    def read(self, block: Slices) -> NDArray[Any]:
        """The block; raises FormatError where the file ends before it."""
        channels, rows, columns = block
        _, height, width = self.shape
        item = self.dtype.itemsize
        raw = np.empty([part.stop - part.start for part in block], self.dtype)
        length = raw.shape[-1] * item
        whole = columns.start == 0 and columns.stop == width
        for i, channel in enumerate(range(channels.start, channels.stop)):
            # whole rows lie together
            step = raw.shape[1] if whole else 1
            for j in range(0, raw.shape[1], step):
                start = ((channel * height + rows.start + j) * width + columns.start) * item
                target = raw[i, j : j + step].view(np.uint8).data.cast("B")
                self._fill(target, self.offset + start, length * step)
        return self.scaled.physical(raw)

    def _fill(self, target: memoryview, position: int, length: int) -> None:
        done = 0
        while done < length:
            got = os.preadv(self.file, [target[done:]], position + done)
            if got == 0:
                raise FormatError(f"{self.path.name!r} ends within its data: fetch it again")
            done += got


class Section:
    """A tile-compressed FITS image, expanded where it is asked for.

    The file is opened for each block: closing it unmaps what was read. Values are scaled here,
    since astropy maps no file whose values it is to scale.
    """

    def __init__(self, description: Description) -> None:
        self.path = Path(description["path"])
        self.extension: int = description["extension"]
        self.shape: list[int] = description["shape"]
        self.lead: list[int] = description["lead"]
        self.scaled = Scaled(description)

    def read(self, block: Slices) -> NDArray[Any]:
        """The block; raises FormatError where it cannot be expanded."""
        from astropy.io import fits

        channels, rows, columns = block
        dtype = np.int64 if self.scaled.flags else np.float32
        result = np.empty([part.stop - part.start for part in block], dtype)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # non-standard cards of old files
            try:
                with fits.open(self.path, memmap=True, do_not_scale_image_data=True) as hdus:
                    section = hdus[self.extension].section
                    for i, channel in enumerate(range(channels.start, channels.stop)):
                        lead = np.unravel_index(channel, self.lead) if self.lead else ()
                        key = (*(int(n) for n in lead), rows, columns)
                        result[i] = self.scaled.physical(np.asarray(section[key]))
            except Exception as error:  # astropy and its codecs raise what they like
                raise FormatError(
                    f"{self.path.name!r}[{self.extension}] cannot be expanded at y {rows.start}, "
                    f"x {columns.start} ({type(error).__name__}: {str(error)[:80]}): fetch it again"
                ) from None
        return result


class ZarrArray:
    """An array in a Zarr store, local or any that fsspec knows."""

    def __init__(self, description: Description) -> None:
        self.name: str = description["path"]
        self.lead: list[int] = description["lead"]
        self.array: Any = open_zarr(self.name)

    def read(self, block: Slices) -> NDArray[Any]:
        """The block; raises FormatError for chunks that are damaged."""
        channels, rows, columns = block
        try:
            if len(self.lead) == 1:
                return np.asarray(self.array[block], np.float32)
            result = np.empty([part.stop - part.start for part in block], np.float32)
            for i, channel in enumerate(range(channels.start, channels.stop)):
                lead = np.unravel_index(channel, self.lead) if self.lead else ()
                result[i] = self.array[(*(int(n) for n in lead), rows, columns)]
        except Exception as error:  # whatever the store and its codecs raise
            raise FormatError(
                f"{Path(self.name).name!r} cannot be read at y {rows.start}, x {columns.start} "
                f"({type(error).__name__}: {str(error)[:80]}): fetch it again"
            ) from None
        return result


class Generated:
    """Values of a function of the coordinates, ``factory(settings)(block)``: no file at all."""

    def __init__(self, description: Description) -> None:
        self.function = imported(description["factory"])(description.get("settings", {}))

    def read(self, block: Slices) -> NDArray[Any]:
        """The block."""
        return np.asarray(self.function(block), np.float32)


def open_zarr(name: str) -> Any:
    """An array of a store, or the only one of a group."""
    import zarr

    try:
        found = zarr.open(name, mode="r")
        if isinstance(found, zarr.Group):
            arrays = dict(found.arrays())
            if "image" in arrays:
                return arrays["image"]
            if len(arrays) != 1:
                raise FormatError(
                    f"{name!r} holds the arrays {', '.join(sorted(arrays)) or '(none)'}: give the "
                    "path of one of them"
                )
            (found,) = arrays.values()
        return found
    except RimagingError:
        raise
    except Exception as error:  # whatever the store raises
        raise FormatError(
            f"{name!r} is no Zarr store, or damaged ({type(error).__name__}: {str(error)[:80]})"
        ) from None
