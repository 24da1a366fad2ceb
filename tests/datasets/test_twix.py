"""Without a scanner's file: what pymapvbvd gives of one, made by hand."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from rimaging.datasets.open import open, sniff
from rimaging.datasets.twix import scan_of
from rimaging.errors import FormatError
from rimaging.operators.fourier import centred_fft, centred_ifft

COILS, SAMPLES, LINES = 3, 32, 24


class Lines:
    """The attributes of a `twix_map_obj` that are read; reversed readouts come turned round."""

    def __init__(self, data: np.ndarray, **counters: Any) -> None:
        count = data.shape[-1]  # (sample, coil, n)
        self.NAcq, self.data, self.flagRemoveOS = count, data, True
        self.NCol = np.full(count, float(data.shape[0]))
        for name in ("Lin", "Par", "Sli", "Eco", "Phs", "Rep", "Set", "Ave", "centerPar"):
            setattr(self, name, np.zeros(count))
        self.centerCol = np.full(count, data.shape[0] / 2)
        self.centerLin = np.full(count, LINES / 2)
        self.cutOff = np.zeros((count, 2))
        self.IsReflected = np.zeros(count, bool)
        for name, value in counters.items():
            setattr(self, name, np.broadcast_to(np.asarray(value, float), (count,)))

    def unsorted(self) -> np.ndarray:
        assert not self.flagRemoveOS, "the library would crop the readout by itself"
        return self.data


def truth(slices: int = 2) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(slices, COILS, SAMPLES, LINES, generator=generator, dtype=torch.complex64)


def scanned(images: torch.Tensor) -> np.ndarray:
    """Coil images (slice, coil, read, phase) as stored: (sample, coil, slice, line), conjugated."""
    padded = torch.nn.functional.pad(images, (0, 0, SAMPLES // 2, SAMPLES // 2))
    return centred_fft(padded).conj().permute(2, 1, 0, 3).resolve_conj().numpy()


def lines_of(images: torch.Tensor, first: int = 0, **more: Any) -> Lines:
    data = scanned(images)[..., first:]
    slices, lines = data.shape[2:]
    return Lines(
        data.reshape(*data.shape[:2], -1),
        Lin=np.tile(np.arange(first, first + lines), slices),
        Sli=np.repeat(np.arange(slices), lines),
        **more,
    )


def test_a_scan_equals_the_truth() -> None:
    m = scan_of([{"image": lines_of(truth())}], 10**6)
    assert m.data.shape == (2, COILS, SAMPLES, LINES)
    torch.testing.assert_close(centred_ifft(m.data), truth(), atol=1e-5, rtol=0)
    assert "conjugated" in m.provenance["assumed"][0]
    assert m.affine is None and "not read" in m.provenance["geometry"]


def test_partial_fourier_is_padded_around_its_centre() -> None:
    whole = scan_of([{"image": lines_of(truth())}], 10**6)
    part = scan_of([{"image": lines_of(truth(), first=7)}], 10**6)
    assert part.mask is not None
    assert part.mask[0].tolist() == [0.0] * 7 + [1.0] * (LINES - 7)
    torch.testing.assert_close(part.data, whole.data * part.mask, atol=1e-5, rtol=0)


def test_noise_whitens_and_the_last_scan_is_the_image() -> None:
    rng = np.random.default_rng(0)
    gains = np.array([1, 5, 0.2])[None, :, None]
    noise = gains * (rng.normal(size=(64, COILS, 9)) + 1j * rng.normal(size=(64, COILS, 9)))
    quiet = lines_of(0 * truth())
    quiet.data = gains * (
        rng.normal(size=quiet.data.shape) + 1j * rng.normal(size=quiet.data.shape)
    )
    m = scan_of([{"noise": Lines(noise)}, {"image": quiet}], 10**6)
    assert m.noise == 1.0
    assert m.provenance["noise_scans"] == 9
    power = m.data.abs().square().mean(dim=(0, 2, 3)) / 2
    assert np.allclose(power.numpy(), 1, atol=0.15)


def test_averages_are_averaged_and_reference_lines_give_maps() -> None:
    images = truth(1)
    twice = lines_of(images)
    twice.data = np.concatenate((twice.data * 0.5, twice.data * 1.5), axis=-1)
    for name in ("Lin", "Sli", "Par", "Eco", "Phs", "Rep", "Set", "NCol", "centerCol",
                 "centerLin", "centerPar", "IsReflected"):  # fmt: skip
        setattr(twice, name, np.tile(getattr(twice, name), 2))
    twice.cutOff, twice.NAcq = np.zeros((2 * LINES, 2)), 2 * LINES
    m = scan_of([{"image": twice, "refscan": lines_of(images)}], 10**6)
    torch.testing.assert_close(centred_ifft(m.data), images, atol=1e-5, rtol=0)
    assert m.maps is not None and m.maps.shape == m.data.shape


def test_only_noise_is_no_scan() -> None:
    with pytest.raises(FormatError, match="no image data"):
        scan_of([{"noise": Lines(np.ones((4, 2, 3), complex))}], 10**6)


def test_files_are_told_by_suffix_and_beginning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "meas.dat"
    path.write_bytes(struct.pack("<II", 0, 2) + bytes(20000))
    assert sniff(path) == "twix"
    other = tmp_path / "other.dat"
    other.write_bytes(b"some text that is no scan")
    with pytest.raises(FormatError, match="is none of"):
        sniff(other)
    monkeypatch.setitem(__import__("sys").modules, "mapvbvd", None)
    with pytest.raises(FormatError, match=r"pip install 'rimaging\[twix\]'"):
        open(path)


def test_damage_is_named_without_a_word_of_the_header(tmp_path: Path) -> None:
    pytest.importorskip("mapvbvd", reason="pip install 'rimaging[twix]'")
    path = tmp_path / "meas.dat"
    path.write_bytes(struct.pack("<II", 0, 1) + b"Doe^Jane" * 500)
    with pytest.raises(FormatError, match="damaged") as caught:
        open(path)
    assert "Jane" not in str(caught.value)
    assert caught.value.__cause__ is None
