"""The acquisitions of an ISMRMRD file: headers at once, samples one after the other.

Source: Inati et al., Magn. Reson. Med. 77 (2017) 411; the format's own library reads the samples.
"""

# mypy: disable-error-code="import-untyped,no-untyped-call"
# (ismrmrd has no types)

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rimaging.datasets.hdf5_guard import checked_dataset, is_ismrmrd, names_of, text_of
from rimaging.datasets.ismrmrd_header import Header, read_header
from rimaging.errors import FormatError, RimagingError

__all__ = ["Acquisitions", "opened"]

BLOCK = 256  # acquisitions read at once


@dataclass(frozen=True, kw_only=True)
class Acquisitions:
    """An open file: its header, the acquisition headers as a record array, and the samples."""

    header: Header
    heads: np.ndarray
    stored: int
    dataset: Any

    def flagged(self, *names: str) -> np.ndarray:
        """Which acquisitions have any of these flags, ``ismrmrd.ACQ_<name>``, (n,) bool."""
        import ismrmrd

        bits = sum(1 << (int(getattr(ismrmrd, f"ACQ_{name}")) - 1) for name in names)
        return np.asarray((self.heads["flags"] & np.uint64(bits)) != 0)

    def used(self, chosen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The samples [first, last) of each that are not to be discarded, as `samples` gives them.

        ``discard_pre`` and ``discard_post`` count in time, which a reversed readout turns round.
        Raises FormatError for a readout that discards all of its samples.
        """
        heads, turned = self.heads[chosen], self.flagged("IS_REVERSE")[chosen]
        length = heads["number_of_samples"].astype(np.int64)
        before, after = (heads[name].astype(np.int64) for name in ("discard_pre", "discard_post"))
        if bool((before + after >= length).any()):
            raise FormatError(
                "a readout discards all of its samples (discard_pre, discard_post): export the "
                "scan again."
            )
        return np.where(turned, after, before), length - np.where(turned, before, after)

    def samples(self, chosen: np.ndarray) -> Iterator[np.ndarray]:
        """Samples (coil, n) of the acquisitions chosen, ascending; zero frequency to the right.

        A reversed readout is turned round, and Siemens' sign of the Fourier transform is ours.
        """
        for acquisition, turned in self._chosen(chosen):
            values = acquisition.data
            if self.header.siemens:
                values = values.conj()
            yield values[:, ::-1] if turned else values

    def trajectories(self, chosen: np.ndarray) -> Iterator[np.ndarray]:
        """Coordinates (n, axes) of the samples of the acquisitions chosen, as stored."""
        for acquisition, turned in self._chosen(chosen):
            yield acquisition.traj[::-1] if turned else acquisition.traj

    def _chosen(self, chosen: np.ndarray) -> Iterator[tuple[Any, bool]]:
        from ismrmrd.file import Acquisitions as Stored

        stored = Stored(self.dataset)
        turned = self.flagged("IS_REVERSE")
        for first in range(0, len(self.heads), BLOCK):
            inside = chosen[(chosen >= first) & (chosen < first + BLOCK)]
            if len(inside) == 0:
                continue
            try:
                block = stored[first : first + BLOCK]
            except (OSError, RuntimeError, ValueError, KeyError) as error:
                raise FormatError(
                    f"acquisitions {first} to {first + BLOCK - 1} are damaged, or hold other "
                    "numbers of samples than they state: fetch or export the file again."
                ) from error
            for i in inside.tolist():
                yield block[i - first], bool(turned[i])


@contextmanager
def opened(path: Path) -> Iterator[Acquisitions]:
    """Open the acquisitions of a file, after checking that they are stored in it.

    Raises FormatError where the package ismrmrd is absent, for damaged files, missing groups,
    links to other files, shapes far beyond what is stored, and headers that say nothing.
    """
    _require()
    import h5py

    try:
        with h5py.File(path, "r", locking=False) as file:
            group = _group(file)
            header = read_header(text_of(group, "xml"))
            if header is None:
                raise FormatError(
                    "the XML header of the ISMRMRD file states no encoding, expected matrix sizes "
                    "and fields of view: export the scan again."
                )
            dataset = checked_dataset(group, "data")
            if not {"head", "data", "traj"} <= set(dataset.dtype.names or ()):
                raise FormatError(
                    "the ISMRMRD file holds no acquisitions (images only?), expected raw data: "
                    "export the raw data."
                )
            heads = np.asarray(dataset.fields("head")[()])
            if heads.size == 0:
                raise FormatError("the ISMRMRD file has no acquisition: export the scan again.")
            yield Acquisitions(
                header=header,
                heads=heads.reshape(-1),
                stored=path.stat().st_size,
                dataset=dataset,
            )
    except RimagingError:
        raise
    except (OSError, RuntimeError, KeyError, ValueError, TypeError) as error:
        raise FormatError(
            "ISMRMRD file is damaged or truncated: fetch or export it again."
        ) from error


def _require() -> None:
    try:
        import ismrmrd  # noqa: F401 - whether it is there
    except ImportError as absent:
        raise FormatError(
            "ISMRMRD files are read with the package ismrmrd, which is absent: pip install ismrmrd."
        ) from absent


def _group(file: Any) -> Any:
    names = sorted(names_of(file), key=lambda name: (name != "dataset", name))
    found = next((file[name] for name in names if is_ismrmrd(file[name])), None)
    if found is None:
        raise FormatError(
            f"the file has {', '.join(names) or 'nothing'}, expected a group 'dataset' with "
            "'data' and 'xml' (ISMRMRD): export the scan again."
        )
    names_of(found)  # refuses links out of it
    return found
