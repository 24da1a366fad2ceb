from __future__ import annotations

import gzip
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from rimaging import mri
from rimaging.cli import app
from rimaging.datasets.inspect import inspect
from rimaging.datasets.ismrmrd import read_ismrmrd, read_samples
from rimaging.errors import DataError, FormatError
from rimaging.operators.fourier import centred_fft, centred_ifft
from rimaging.operators.whitening import whiten, whitening_matrix

ismrmrd = pytest.importorskip("ismrmrd", reason="pip install ismrmrd")

LINES, SAMPLES, COILS = 24, 32, 3  # of the image; readouts are twice as long
FOV = (320.0, 180.0, 6.0)  # x with its oversampling, y, z in mm
SECRETS = ("Doe^Jane", "Doe, Jane", "Jane Doe", "1961-02-03", "PID-4711", "St-Elsewhere")

XML = """<?xml version="1.0"?>
<ismrmrdHeader xmlns="http://www.ismrm.org/ISMRMRD">
  <subjectInformation>
    <patientName>Doe^Jane</patientName><patientID>PID-4711</patientID>
    <patientBirthdate>1961-02-03</patientBirthdate>
  </subjectInformation>
  <measurementInformation><patientPosition>{lying}</patientPosition></measurementInformation>
  <acquisitionSystemInformation>
    <systemVendor>{vendor}</systemVendor><institutionName>St-Elsewhere</institutionName>
  </acquisitionSystemInformation>
  <experimentalConditions>
    <H1resonanceFrequency_Hz>63500000</H1resonanceFrequency_Hz>
  </experimentalConditions>
  <encoding>
    <encodedSpace>
      <matrixSize><x>{x}</x><y>{y}</y><z>{z}</z></matrixSize>
      <fieldOfView_mm><x>{fov[0]}</x><y>{fov[1]}</y><z>{fov[2]}</z></fieldOfView_mm>
    </encodedSpace>
    <reconSpace>
      <matrixSize><x>{recon_x}</x><y>{y}</y><z>{recon_z}</z></matrixSize>
      <fieldOfView_mm><x>{recon_fov}</x><y>{fov[1]}</y><z>{recon_fov_z}</z></fieldOfView_mm>
    </reconSpace>
    <encodingLimits>
      <kspace_encoding_step_1><minimum>0</minimum><maximum>{last}</maximum><center>{centre}</center>
      </kspace_encoding_step_1>
      <kspace_encoding_step_2><minimum>0</minimum><maximum>{z}</maximum><center>{centre_z}</center>
      </kspace_encoding_step_2>
    </encodingLimits>
    <trajectory>{trajectory}</trajectory>
    <parallelImaging><accelerationFactor><kspace_encoding_step_1>1</kspace_encoding_step_1>
      <kspace_encoding_step_2>1</kspace_encoding_step_2></accelerationFactor>
      <calibrationMode>{mode}</calibrationMode>{more}</parallelImaging>
  </encoding>
  <sequenceParameters>{diffusion}</sequenceParameters>
</ismrmrdHeader>"""


def images(*lead: int, slices: int = 1, coils: int = COILS) -> torch.Tensor:
    """Coil images (*lead, slice, coil, read, phase) of blocks and ellipses without symmetry."""
    rng = np.random.default_rng(slices + len(lead))
    read, phase = np.meshgrid(np.linspace(-1, 1, SAMPLES), np.linspace(-1, 1, LINES), indexing="ij")
    out = np.zeros((*lead, slices, SAMPLES, LINES))
    for index in np.ndindex(*lead, slices):
        for _ in range(4):
            y, x = rng.uniform(-0.4, 0.4, 2)
            a, b = rng.uniform(0.2, 0.5, 2)
            out[index] += rng.uniform(0.3, 1) * ((read - y) ** 2 / a + (phase - x) ** 2 / b < 0.3)
    angles = 2 * np.pi * np.arange(coils) / coils
    maps = [np.exp(-((read - np.cos(a)) ** 2) - (phase - np.sin(a)) ** 2 + 1j * a) for a in angles]
    return torch.from_numpy((out[..., None, :, :] * np.stack(maps)).astype(np.complex64))


@dataclass
class Scan:
    """Acquisitions of a file being made, and the fields of its header."""

    acquisitions: list[Any] = field(default_factory=list)
    header: dict[str, Any] = field(default_factory=dict)
    xml: str = ""

    def line(
        self,
        samples: np.ndarray,
        flags: tuple[int, ...] = (),
        trajectory: np.ndarray | None = None,
        **head: Any,
    ) -> None:
        idx = ismrmrd.EncodingCounters()
        fields = {name for name, _ in idx._fields_}
        acquisition = ismrmrd.Acquisition.from_array(
            np.ascontiguousarray(samples, dtype=np.complex64), trajectory
        )
        acquisition.center_sample = samples.shape[-1] // 2
        acquisition.sample_time_us = 5.0
        for name, value in head.items():
            if name in fields:
                setattr(idx, name, value)
            elif name in ("position", "read_dir", "phase_dir", "slice_dir"):
                getattr(acquisition, name)[:] = value
            else:
                setattr(acquisition, name, value)
        acquisition.idx = idx
        for flag in flags:
            acquisition.set_flag(flag)
        self.acquisitions.append(acquisition)

    def write(self, path: Path) -> Path:
        defaults: dict[str, Any] = {
            "vendor": "rimaging", "x": 2 * SAMPLES, "y": LINES, "z": 1, "fov": FOV,
            "recon_x": SAMPLES, "recon_z": 1, "recon_fov": FOV[0] / 2, "recon_fov_z": FOV[2],
            "last": LINES - 1, "centre": LINES // 2, "centre_z": 0, "trajectory": "cartesian",
            "mode": "other", "lying": "HFS", "more": "", "diffusion": "",
        }  # fmt: skip
        with ismrmrd.File(path, "w") as file:
            file["dataset"].acquisitions = self.acquisitions
        self.xml = XML.format(**{**defaults, **self.header})
        with h5py.File(path, "a") as file:
            file["dataset/xml"] = [self.xml.encode()]
        return path


def oversampled(coil_images: torch.Tensor) -> np.ndarray:
    """k-space (..., coil, read, phase) with twice the field of view along the readout."""
    padded = torch.nn.functional.pad(coil_images, (0, 0, SAMPLES // 2, SAMPLES // 2))
    return centred_fft(padded).numpy()


def scan_of(kspace: np.ndarray, keep: Callable[[int], bool] = lambda _: True, **head: Any) -> Scan:
    """All lines of slices (slice, coil, read, phase)."""
    scan = Scan()
    for s, plane in enumerate(kspace):
        for row in filter(keep, range(kspace.shape[-1])):
            scan.line(plane[..., row], kspace_encode_step_1=row, slice=s, **head)
    return scan


def pictures(data: torch.Tensor) -> torch.Tensor:
    return centred_ifft(data)


def test_a_volume_without_oversampling_equals_the_truth(tmp_path: Path) -> None:
    truth = images(slices=3)
    m = read_ismrmrd(scan_of(oversampled(truth)).write(tmp_path / "f.h5"))
    assert m.data.shape == (3, COILS, SAMPLES, LINES)
    torch.testing.assert_close(pictures(m.data), truth, atol=1e-5, rtol=0)
    assert m.mask is not None and bool((m.mask == 1).all())
    assert m.provenance["axes"] == ["slice"]
    assert "recon_size" not in m.provenance
    # the field of view after the crop: 160 mm of 32, 180 mm of 24 voxels, 6 mm
    assert m.provenance["voxel_mm"] == pytest.approx([180 / 24, 160 / 32, 6.0])


def test_counters_are_axes_in_front_and_averages_are_averaged(tmp_path: Path) -> None:
    truth = images(2, 2, slices=2)  # repetition, contrast
    kspace = oversampled(truth)
    scan = Scan()
    for rep, echo, s, row in np.ndindex(2, 2, 2, LINES):
        for average, weight in enumerate((0.5, 1.5)):
            scan.line(
                weight * kspace[rep, echo, s, :, :, row],
                kspace_encode_step_1=row, repetition=rep, contrast=3 * echo, slice=s,
                average=average,
            )  # fmt: skip
    m = read_ismrmrd(scan.write(tmp_path / "f.h5"))
    assert m.provenance["axes"] == ["repetition", "contrast", "slice"]
    torch.testing.assert_close(pictures(m.data), truth, atol=1e-5, rtol=0)


def test_reversed_readouts_and_discarded_samples(tmp_path: Path) -> None:
    truth = images()
    kspace = oversampled(truth)[0]
    scan = Scan()
    for row in range(LINES):
        line = np.pad(kspace[..., row], ((0, 0), (5, 3)), constant_values=99)
        back = row % 2 == 1
        scan.line(
            line[:, ::-1] if back else line,
            flags=(ismrmrd.ACQ_IS_REVERSE,) if back else (),
            kspace_encode_step_1=row, center_sample=SAMPLES + 5,
            discard_pre=3 if back else 5, discard_post=5 if back else 3,
        )  # fmt: skip
    m = read_ismrmrd(scan.write(tmp_path / "f.h5"))
    torch.testing.assert_close(pictures(m.data)[0], truth[0], atol=1e-5, rtol=0)


@pytest.mark.filterwarnings("error")
def test_the_files_of_these_tests_keep_to_the_schema(tmp_path: Path) -> None:
    """As the format's own package has it: what it requires, of which type, which enumerations."""
    scan = scan_of(oversampled(images()))
    m = read_ismrmrd(scan.write(tmp_path / "f.h5"))
    header = ismrmrd.xsd.CreateFromDocument(scan.xml)
    assert header.encoding[0].encodedSpace.matrixSize.y == LINES
    assert header.encoding[0].encodingLimits.kspace_encoding_step_1.center == LINES // 2
    assert header.measurementInformation.patientPosition.value == "HFS"
    assert m.provenance["patient_position"] == "HFS"


def test_what_the_file_keeps_of_compressed_samples_is_not_guessed(tmp_path: Path) -> None:
    scan = scan_of(oversampled(images()))
    scan.acquisitions[3].set_flag(ismrmrd.ACQ_COMPRESSION2)
    with pytest.raises(FormatError, match="compressed"):
        read_ismrmrd(scan.write(tmp_path / "f.h5"))


MULTIBAND = """<multiband><spacing><dZ>20</dZ></spacing><deltaKz>0</deltaKz>
  <multiband_factor>2</multiband_factor><calibration>other</calibration>
  <calibration_encoding>1</calibration_encoding></multiband>"""


@pytest.mark.filterwarnings("error")
def test_slices_or_weightings_in_one_place_are_never_mixed(tmp_path: Path) -> None:
    kspace = oversampled(images())
    for name in ("average", "user_3", "repetition", "segment"):
        scan = scan_of(kspace)
        scan.header["diffusion"] = f"<diffusionDimension>{name}</diffusionDimension>"
        path = scan.write(tmp_path / "one.h5")
        assert ismrmrd.xsd.CreateFromDocument(scan.xml).sequenceParameters is not None
        assert read_ismrmrd(path).data.ndim == 4  # of one weighting
        for row in range(LINES):
            scan.line(kspace[0, ..., row], kspace_encode_step_1=row)
            idx = scan.acquisitions[-1].idx
            if name == "user_3":
                idx.user[3] = 1
            else:
                setattr(idx, name, 1)
        path = scan.write(tmp_path / f"{name}.h5")
        if name == "repetition":
            assert read_ismrmrd(path).data.shape[0] == 2
            continue
        with pytest.raises(FormatError, match=f"'{name}'"):
            read_ismrmrd(path)
    scan = scan_of(kspace)
    scan.header["more"] = MULTIBAND
    path = scan.write(tmp_path / "bands.h5")
    assert ismrmrd.xsd.CreateFromDocument(scan.xml).encoding[0].parallelImaging.multiband
    with pytest.raises(FormatError, match="2 slices were excited together"):
        read_ismrmrd(path)


def test_readouts_that_no_counter_tells_apart_are_named(tmp_path: Path) -> None:
    """Volumes of a diffusion scan that are counted nowhere would be averaged without a word."""
    kspace = oversampled(images())
    for name, told in (("average", False), ("segment", True)):
        scan = scan_of(kspace)
        scan.line(kspace[0, ..., 5], kspace_encode_step_1=5, **{name: 1})
        m = read_ismrmrd(scan.write(tmp_path / f"{name}.h5"))
        said = [note for note in m.provenance.get("assumed", []) if "counters of another" in note]
        assert [note[:2] for note in said] == (["1 "] if told else [])


def test_ghosts_are_announced_where_readouts_go_both_ways(tmp_path: Path) -> None:
    kspace = oversampled(images())[0]
    for backwards, announced in (((), False), (range(1, LINES, 2), True), (range(LINES), False)):
        scan = Scan()
        for row in range(LINES):
            back = row in backwards
            flags = (ismrmrd.ACQ_IS_REVERSE,) if back else ()
            line = kspace[..., row]
            scan.line(line[:, ::-1] if back else line, flags=flags, kspace_encode_step_1=row)
        m = read_ismrmrd(scan.write(tmp_path / f"{len(backwards)}.h5"))
        said = " ".join(m.provenance.get("assumed", []))
        assert ("ghosts" in said) == announced
    scan = Scan()  # two echoes, to and fro
    for echo, row in np.ndindex(2, LINES):
        line = kspace[:, ::-1, row] if echo else kspace[..., row]
        flags = (ismrmrd.ACQ_IS_REVERSE,) if echo else ()
        scan.line(line, flags=flags, kspace_encode_step_1=row, contrast=echo)
    m = read_ismrmrd(scan.write(tmp_path / "echoes.h5"))
    assert "ghosts" not in " ".join(m.provenance.get("assumed", []))
    torch.testing.assert_close(pictures(m.data)[1], pictures(m.data)[0])


def test_siemens_signs_are_turned(tmp_path: Path) -> None:
    truth = images()
    scan = scan_of(oversampled(truth).conj())
    scan.header["vendor"] = "SIEMENS"
    m = read_ismrmrd(scan.write(tmp_path / "f.h5"))
    torch.testing.assert_close(pictures(m.data), truth, atol=1e-5, rtol=0)
    assert any("Siemens" in note for note in m.provenance["assumed"])


def test_partial_fourier_is_in_its_place(tmp_path: Path) -> None:
    """Lines are counted from the first that was measured; the centre says where that is."""
    kspace = oversampled(images())
    missing = 7
    scan = scan_of(kspace[..., missing:])
    scan.header |= {"centre": LINES // 2 - missing, "last": LINES - missing - 1}
    m = read_ismrmrd(scan.write(tmp_path / "f.h5"))
    assert m.mask is not None
    assert m.mask[0].tolist() == [0.0] * missing + [1.0] * (LINES - missing)
    whole = read_ismrmrd(scan_of(kspace).write(tmp_path / "whole.h5")).data
    torch.testing.assert_close(m.data, whole * m.mask, atol=1e-5, rtol=0)


def test_asymmetric_echoes_keep_their_grid_and_lose_nothing(tmp_path: Path) -> None:
    kspace = oversampled(images())
    missing = 12
    scan = scan_of(kspace[:, :, missing:], center_sample=SAMPLES - missing)
    m = read_ismrmrd(scan.write(tmp_path / "f.h5"))
    assert m.mask is not None
    assert m.mask[:, 0].tolist() == [0.0] * missing + [1.0] * (2 * SAMPLES - missing)
    expected = torch.from_numpy(kspace) * m.mask
    torch.testing.assert_close(m.data, expected, atol=1e-5, rtol=0)
    assert m.provenance["recon_size"] == [SAMPLES, LINES]
    assert any("asymmetric" in note for note in m.provenance["assumed"])


def test_undersampling_and_calibration_lines(tmp_path: Path) -> None:
    kspace = oversampled(images())
    scan = scan_of(kspace, lambda row: row % 3 == 0)
    for row in (11, 13):
        scan.line(
            kspace[0, ..., row],
            flags=(ismrmrd.ACQ_IS_PARALLEL_CALIBRATION,),
            kspace_encode_step_1=row,
        )
    m = read_ismrmrd(scan.write(tmp_path / "f.h5"))
    assert m.mask is not None
    assert np.flatnonzero(m.mask[0].numpy()).tolist() == [0, 3, 6, 9, 11, 12, 13, 15, 18, 21]
    assert m.provenance["calibration_lines"] == 2


def test_a_separate_calibration_scan_gives_maps(tmp_path: Path) -> None:
    truth = images(slices=2)
    kspace = oversampled(truth)
    scan = scan_of(kspace, lambda row: row % 2 == 0)
    scan.header["mode"] = "separate"
    for s in range(2):
        for row in range(4, LINES - 4):
            scan.line(
                7 * kspace[s, ..., row],
                flags=(ismrmrd.ACQ_IS_PARALLEL_CALIBRATION,),
                kspace_encode_step_1=row, slice=s,
            )  # fmt: skip
    m = read_ismrmrd(scan.write(tmp_path / "f.h5"))
    assert m.mask is not None and float(m.mask.mean()) == pytest.approx(0.5)
    assert m.maps is not None and m.maps.shape == m.data.shape
    assert m.provenance["calibration_scan"] == "separate"
    # where there is signal, the maps explain every coil image
    seen = m.maps * (m.maps.conj() * truth).sum(-3, keepdim=True)
    inside = (truth.abs().sum(-3, keepdim=True) > 0.5) & (m.maps.abs().sum(-3, keepdim=True) > 0)
    error = ((seen - truth) * inside).norm() / (truth * inside).norm()
    assert float(inside.float().mean()) > 0.1
    assert float(error) < 0.05


def test_noise_scans_whiten_the_coils(tmp_path: Path) -> None:
    """The scan has half the bandwidth of the noise scan, and so half the variance."""
    rng = np.random.default_rng(1)
    mix = rng.normal(size=(COILS, COILS)) + 1j * rng.normal(size=(COILS, COILS))

    def noise(scale: float, *shape: int) -> np.ndarray:
        white = rng.normal(size=(COILS, *shape)) + 1j * rng.normal(size=(COILS, *shape))
        return scale * np.tensordot(mix, white, 1)

    scan = Scan()
    for _ in range(8):
        scan.line(
            noise(1e-3, 4 * SAMPLES), flags=(ismrmrd.ACQ_IS_NOISE_MEASUREMENT,), sample_time_us=2.5
        )
    for rep, row in np.ndindex(4, LINES):
        for _ in range(2 if row == 12 else 1):
            line = noise(1e-3 / 2**0.5, 2 * SAMPLES)
            scan.line(line, kspace_encode_step_1=row, repetition=rep)
    m = read_ismrmrd(scan.write(tmp_path / "f.h5"))
    assert m.provenance["noise_scans"] == 8
    assert isinstance(m.noise, torch.Tensor)
    assert m.noise.shape[-2:] == (SAMPLES, LINES)
    white = (m.data / m.noise).movedim(-3, 0).flatten(1)
    covariance = (white @ white.mH / (2 * white.shape[1])).numpy()
    assert np.allclose(covariance, np.eye(COILS), atol=0.08)
    assert float(m.noise.min()) == pytest.approx(0.5**0.5)


def test_each_noise_scan_has_its_own_dwell_time(tmp_path: Path) -> None:
    """Four times the bandwidth, twice the noise: both scans then say the same of the image."""
    rng = np.random.default_rng(2)
    noise = rng.normal(size=(COILS, 4000)) + 1j * rng.normal(size=(COILS, 4000))
    read = []
    for name, dwells in (("one", (5.0, 5.0)), ("two", (5.0, 1.25))):
        scan = scan_of(oversampled(images()))
        for dwell in dwells:
            line = noise * (5.0 / dwell) ** 0.5
            scan.line(line, flags=(ismrmrd.ACQ_IS_NOISE_MEASUREMENT,), sample_time_us=dwell)
        read.append(read_ismrmrd(scan.write(tmp_path / f"{name}.h5")))
    torch.testing.assert_close(read[0].data, read[1].data)
    assert any("1 to 4 times the bandwidth" in note for note in read[1].provenance["assumed"])


@pytest.mark.parametrize("gap", [False, True])
def test_a_slab_of_partitions_becomes_slices(tmp_path: Path, gap: bool) -> None:
    """Split along z where all partitions are there, else along the readout; geometry follows."""
    depth, dz = 6, 2.0
    truth = images(slices=depth)[:, :, :, :]  # (z, coil, read, phase)
    volume = np.moveaxis(oversampled(truth), 0, 1)  # (coil, z, read, phase)
    volume = centred_fft(torch.from_numpy(volume), (-3,)).numpy()
    scan = Scan(header={"z": depth, "centre_z": depth // 2, "fov": (*FOV[:2], dz * depth)})
    scan.header |= {"recon_z": depth, "recon_fov_z": dz * depth}
    directions = {"read_dir": (0, 1, 0), "phase_dir": (1, 0, 0), "slice_dir": (0, 0, 1)}
    for z, row in np.ndindex(depth, LINES):
        if gap and (z + row) % 4 == 1 and abs(row - 12) > 3:
            continue
        scan.line(
            volume[:, z, :, row], kspace_encode_step_1=row, kspace_encode_step_2=z,
            position=(10, 20, 30), **directions,
        )  # fmt: skip
    m = read_ismrmrd(scan.write(tmp_path / "f.h5"))
    assert m.affine is not None and m.mask is not None
    if not gap:
        torch.testing.assert_close(pictures(m.data), truth, atol=1e-5, rtol=0)
        # index (x: phase, y: read, slice); its centre voxel is at the position, LPS to RAS
        index = [LINES // 2, SAMPLES // 2, depth // 2, 1]
        assert np.allclose(np.diag(m.affine), [-180 / 24, -160 / 32, 2, 1])
    else:
        assert m.data.shape == (SAMPLES, COILS, depth, LINES)
        assert 0.5 < float(m.mask.mean()) < 0.95
        expected = centred_fft(truth.permute(2, 1, 0, 3)) * m.mask
        torch.testing.assert_close(m.data, expected, atol=1e-5, rtol=0)
        index = [LINES // 2, depth // 2, SAMPLES // 2, 1]
        assert m.provenance["voxel_mm"] == pytest.approx([180 / 24, 2, 160 / 32])
    assert np.allclose(m.affine @ index, [-10, -20, 30, 1])


def rotation() -> np.ndarray:
    a, b = 0.4, -0.7
    about_x = np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])
    about_z = np.array([[np.cos(b), -np.sin(b), 0], [np.sin(b), np.cos(b), 0], [0, 0, 1]])
    return np.asarray(about_x @ about_z)


def test_double_oblique_slices_lie_where_they_were_measured(tmp_path: Path) -> None:
    """Interleaved slices with a gap, numbered in the order of time, not of space."""
    truth = images(slices=4)
    kspace = oversampled(truth)
    read, phase, normal = rotation().T
    order, spacing = [2, 0, 3, 1], 7.5
    scan = Scan()
    for number, place in enumerate(order):
        position = np.array([5.0, -3.0, 12.0]) + spacing * place * normal
        for row in range(LINES):
            scan.line(
                kspace[place, ..., row], kspace_encode_step_1=row, slice=number,
                position=position, read_dir=read, phase_dir=phase, slice_dir=normal,
            )  # fmt: skip
    m = read_ismrmrd(scan.write(tmp_path / "f.h5"))
    torch.testing.assert_close(pictures(m.data), truth, atol=1e-5, rtol=0)
    assert m.affine is not None
    flip = np.array([-1, -1, 1])
    for x, y, s in ((0, 0, 0), (LINES - 1, 3, 2), (5, SAMPLES - 1, 3)):
        along_read, along_phase = (y - SAMPLES // 2) * 5.0, (x - LINES // 2) * 7.5
        point = np.array([5.0, -3.0, 12.0]) + spacing * s * normal
        point = point + along_read * read + along_phase * phase
        assert np.allclose((m.affine @ [x, y, s, 1])[:3], flip * point, atol=1e-3)
    assert m.provenance["voxel_mm"] == pytest.approx([7.5, 5.0, 7.5], rel=1e-4)


def test_slices_that_no_affine_holds_are_named(tmp_path: Path) -> None:
    scan = Scan()
    for s, normal in enumerate(np.eye(3)):
        read, phase = np.roll(np.eye(3), -s, axis=0)[[1, 2]]
        for row in range(LINES):
            scan.line(
                np.ones((COILS, 2 * SAMPLES)), kspace_encode_step_1=row, slice=s,
                read_dir=read, phase_dir=phase, slice_dir=normal,
            )  # fmt: skip
    m = read_ismrmrd(scan.write(tmp_path / "f.h5"))
    assert m.affine is None
    assert "different directions" in m.provenance["geometry"]


def test_other_readouts_stay_out_of_the_picture(tmp_path: Path) -> None:
    truth = images()
    scan = scan_of(oversampled(truth))
    for flag in (ismrmrd.ACQ_IS_NAVIGATION_DATA, ismrmrd.ACQ_IS_PHASECORR_DATA):
        scan.line(np.full((COILS, 2 * SAMPLES), 99), flags=(flag,), kspace_encode_step_1=12)
    m = read_ismrmrd(scan.write(tmp_path / "f.h5"))
    torch.testing.assert_close(pictures(m.data), truth, atol=1e-5, rtol=0)
    assert "2 navigator" in " ".join(m.provenance["assumed"])
    assert "ghosts" in " ".join(m.provenance["assumed"])


def test_readouts_of_unequal_length_are_placed_by_their_centre(tmp_path: Path) -> None:
    kspace = oversampled(images())[0]
    scan = Scan()
    for row in range(LINES):
        cut = 4 if row % 2 else 0
        line = kspace[:, cut : 2 * SAMPLES - cut, row]
        scan.line(line, kspace_encode_step_1=row, center_sample=SAMPLES - cut)
    m = read_ismrmrd(scan.write(tmp_path / "f.h5"))
    assert m.mask is not None
    expected = torch.from_numpy(kspace) * m.mask
    torch.testing.assert_close(m.data[0], expected, atol=1e-5, rtol=0)
    assert "readouts of 56 to 64 samples" in " ".join(m.provenance["assumed"])


@pytest.mark.parametrize(
    ("header", "head", "words"),
    [
        ({"y": 8}, {}, "line 23 was measured, the encoded matrix has 8"),
        ({"x": SAMPLES}, {}, "a readout has 64 samples, the encoded matrix 32"),
        ({"x": 0}, {}, "encoded matrix is 0 x"),
        ({"x": 60000, "y": 60000, "z": 60000}, {}, "declares"),
        ({"trajectory": "spiral"}, {}, "spiral"),
        ({}, {"encoding_space_ref": 3}, "encoding 3"),
        ({}, {"discard_pre": 60, "discard_post": 9}, "discards all"),
    ],
)
def test_headers_that_contradict_the_data(
    tmp_path: Path, header: dict[str, Any], head: dict[str, Any], words: str
) -> None:
    scan = scan_of(oversampled(images()), **head)
    scan.header |= header
    with pytest.raises(FormatError, match=words) as caught:
        read_ismrmrd(scan.write(tmp_path / "f.h5"))
    assert "\n" not in str(caught.value)


def test_coils_that_differ_are_refused(tmp_path: Path) -> None:
    scan = scan_of(oversampled(images()))
    scan.line(np.ones((2, 2 * SAMPLES)), kspace_encode_step_1=3)
    with pytest.raises(FormatError, match="2 to 3 coils"):
        read_ismrmrd(scan.write(tmp_path / "f.h5"))


def test_only_noise_is_no_scan(tmp_path: Path) -> None:
    scan = Scan()
    scan.line(np.ones((2, 9)), flags=(ismrmrd.ACQ_IS_NOISE_MEASUREMENT,))
    with pytest.raises(FormatError, match="1 noise readouts and none of an image"):
        read_ismrmrd(scan.write(tmp_path / "f.h5"))


def test_damage_and_strangers_are_named(tmp_path: Path) -> None:
    path = scan_of(oversampled(images())).write(tmp_path / "f.h5")
    whole = path.read_bytes()
    for length in (20, 2000, len(whole) // 2, len(whole) - 500):
        path.write_bytes(whole[:length])
        with pytest.raises(FormatError, match="damaged"):
            read_ismrmrd(path)
    path.write_bytes(whole)
    with h5py.File(path, "a") as file:
        file["dataset/waveforms"] = h5py.ExternalLink("other.h5", "/dataset/waveforms")
    with pytest.raises(FormatError, match="refused"):
        read_ismrmrd(path)
    with h5py.File(path, "w") as file:
        file["dataset/data"] = np.ones((2, 3))
        file["dataset/xml"] = [XML.encode()]
    with pytest.raises(FormatError, match=r"no encoding|no acquisitions"):
        read_ismrmrd(path)


def test_data_elsewhere_and_bombs_are_refused(tmp_path: Path) -> None:
    path = scan_of(oversampled(images())).write(tmp_path / "f.h5")
    with h5py.File(path) as file:
        stored, xml = file["dataset/data"].dtype, file["dataset/xml"][()]
    bomb, virtual = tmp_path / "bomb.h5", tmp_path / "virtual.h5"
    with h5py.File(bomb, "w") as file:
        file.create_dataset("dataset/data", (10**9,), stored, chunks=(100,))
        file["dataset/xml"] = xml
    with h5py.File(virtual, "w") as file:
        layout = h5py.VirtualLayout((LINES,), stored)
        layout[:] = h5py.VirtualSource(str(path), "dataset/data", (LINES,))
        file.create_virtual_dataset("dataset/data", layout)
        file["dataset/xml"] = xml
    for file_name, words in ((bomb, "declares"), (virtual, "refused")):
        with pytest.raises(FormatError, match=words):
            read_ismrmrd(file_name)


def test_samples_that_are_no_numbers_are_counted(tmp_path: Path) -> None:
    kspace = oversampled(images())
    kspace[0, 1, :, 5] = np.nan
    with pytest.raises(DataError, match="NaN or infinite"):
        read_ismrmrd(scan_of(kspace).write(tmp_path / "f.h5"))


def radial(slices: int = 1, frames: int = 2) -> tuple[Scan, np.ndarray, np.ndarray]:
    """Five spokes for each frame; the second frame is turned."""
    scan = Scan(header={"trajectory": "radial"})
    rng = np.random.default_rng(0)
    shape = (frames, slices, 5, 2 * SAMPLES)
    angles = np.pi * np.arange(frames * 5).reshape(frames, 1, 5, 1) / (5 * frames)
    radius = (np.arange(2 * SAMPLES) - SAMPLES) / (2 * SAMPLES)
    along = np.stack([radius * np.cos(angles), 0.8 * radius * np.sin(angles)], axis=-1)
    along = np.broadcast_to(along, (*shape, 2)).astype(np.float32)
    data = rng.normal(size=(frames, slices, 5, COILS, 2 * SAMPLES)).astype(np.complex64)
    for shot in range(5):
        for frame, s in np.ndindex(frames, slices):
            scan.line(
                data[frame, s, shot], trajectory=along[frame, s, shot], repetition=frame, slice=s,
                kspace_encode_step_1=shot, read_dir=(0, 1, 0), phase_dir=(0, 0, 1),
                slice_dir=(1, 0, 0), position=(4.0 * s, 0, 0),
            )  # fmt: skip
    return scan, data, along


def test_spokes_keep_their_trajectory_and_place(tmp_path: Path) -> None:
    scan, data, along = radial(slices=3)
    m = read_ismrmrd(scan.write(tmp_path / "f.h5"))
    assert m.provenance["axes"] == ["repetition", "slice"]
    assert np.array_equal(m.data.numpy(), data.swapaxes(-2, -3))
    assert m.trajectory is not None
    # (ky, kx), as cycles per pixel or scaled to cycles per field of view
    stored = along[..., ::-1]
    ratio = m.trajectory.numpy()[..., 1].max() / stored[..., 1].max()
    assert ratio in (1, SAMPLES)
    scale = np.array([LINES, SAMPLES]) if ratio > 1 else 1
    assert np.allclose(m.trajectory.numpy(), stored * scale, atol=1e-5)
    assert m.matrix == (LINES, SAMPLES)
    # x runs along the readout (back), y along phase encoding (up), slices to the left (LPS)
    assert m.affine is not None
    assert np.allclose(m.affine @ [SAMPLES // 2, LINES // 2, 2, 1], [-8, 0, 0, 1])
    assert np.allclose(m.affine @ [1, 0, 0, 0], [0, -5, 0, 0])
    samples, coordinates = read_samples(tmp_path / "f.h5")
    assert samples.shape == (COILS, 30, 2 * SAMPLES)
    assert coordinates.shape == (30, 2 * SAMPLES, 2)


def test_discarded_samples_of_spokes_stay_out(tmp_path: Path) -> None:
    whole, data, along = radial()
    for line in whole.acquisitions:
        line.discard_pre, line.discard_post = 5, 3
    m = read_ismrmrd(whole.write(tmp_path / "f.h5"))
    assert m.trajectory is not None
    assert np.array_equal(m.data.numpy(), data.swapaxes(-2, -3)[..., 5:-3])
    samples, coordinates = read_samples(tmp_path / "f.h5")
    assert samples.shape[-1] == coordinates.shape[1] == m.trajectory.shape[-2] == 2 * SAMPLES - 8
    assert np.array_equal(coordinates[0], along[0, 0, 0, 5:-3])
    whole.acquisitions[0].discard_pre = 4
    with pytest.raises(FormatError, match="discard different"):
        read_ismrmrd(whole.write(tmp_path / "f.h5"))


def test_a_trajectory_of_all_frames_is_kept_once(tmp_path: Path) -> None:
    scan, _, _ = radial(frames=1, slices=2)
    m = read_ismrmrd(scan.write(tmp_path / "f.h5"))
    assert m.trajectory is not None and m.trajectory.shape == (5, 2 * SAMPLES, 2)


def test_trajectories_that_do_not_fit_are_named(tmp_path: Path) -> None:
    scan, _, _ = radial()
    scan.acquisitions.pop()
    with pytest.raises(FormatError, match="4 to 5 shots"):
        read_ismrmrd(scan.write(tmp_path / "f.h5"))
    scan, _, _ = radial()
    scan.header["z"] = 8
    with pytest.raises(FormatError, match="stack of stars"):
        read_ismrmrd(scan.write(tmp_path / "f.h5"))


def test_nobody_is_named(tmp_path: Path) -> None:
    good = scan_of(oversampled(images()))
    path = good.write(tmp_path / "f.h5")
    m = read_ismrmrd(path)
    good.header["x"] = 8
    with pytest.raises(FormatError) as caught:
        read_ismrmrd(good.write(tmp_path / "bad.h5"))
    said = " ".join(map(str, (m, m.provenance, caught.value, caught.value.__cause__)))
    assert not any(secret in said for secret in SECRETS)


def test_nobody_is_named_by_the_doors(tmp_path: Path) -> None:
    """Not by the command line, nor by a reconstruction and what it saves, nor by errors."""

    rng = np.random.default_rng(0)
    kspace = oversampled(images(slices=2))
    kspace = kspace + 1e-2 * (rng.normal(size=kspace.shape) + 1j * rng.normal(size=kspace.shape))
    scan = scan_of(kspace)
    for name in ("read_dir", "phase_dir", "slice_dir"):
        for acquisition in scan.acquisitions:
            axis = ("read_dir", "phase_dir", "slice_dir").index(name)
            getattr(acquisition, name)[:] = np.eye(3)[axis]
            acquisition.position[:] = (0, 0, 5.0 * acquisition.idx.slice)
    path = scan.write(tmp_path / "f.h5")
    x = mri.reconstruct(path, method="zero-filled")
    assert x.image.shape == (2, SAMPLES, LINES)
    saved = [x.save(tmp_path / name) for name in ("f.nii.gz", "out.h5", "out.npz", "out.cfl")]
    report = x.report(tmp_path / "r.html")
    bytes_of = [p.read_bytes() for p in (*saved, report)]
    bytes_of[0] = gzip.decompress(bytes_of[0])
    for content in bytes_of:
        assert not any(secret.encode() in content for secret in SECRETS)
    shown = CliRunner().invoke(app, ["inspect", str(path)])
    assert shown.exit_code == 0
    for words in ("2 slices", "none", "fully sampled", "320 x 180 x 6 mm", "3", "cartesian"):
        assert words in shown.output
    said = " ".join((shown.output, repr(x), repr(x.provenance), str(inspect(path))))
    assert not any(secret in said for secret in SECRETS)


def test_the_whole_way_gives_the_truth(tmp_path: Path) -> None:
    """Noise scan, calibration, partial Fourier, reversed and oversampled readouts: to an image."""
    rng = np.random.default_rng(0)
    truth = images(slices=2, coils=4)
    kspace = oversampled(truth)
    mix = np.eye(4) + 0.4 * rng.normal(size=(4, 4))
    scan = Scan(header={"mode": "embedded"})

    def noise(samples: int) -> np.ndarray:
        white = rng.normal(size=(4, samples)) + 1j * rng.normal(size=(4, samples))
        return 3e-3 * mix @ white

    for _ in range(4):
        scan.line(noise(256), flags=(ismrmrd.ACQ_IS_NOISE_MEASUREMENT,))
    for s, row in np.ndindex(2, LINES):
        middle = abs(row - LINES // 2) <= 4
        if row < 3 or (row % 2 and not middle):
            continue
        flags = [ismrmrd.ACQ_IS_PARALLEL_CALIBRATION] if row % 2 else []
        line = kspace[s, ..., row] + noise(2 * SAMPLES)
        if row % 4 == 0:
            line, flags = line[:, ::-1], [*flags, ismrmrd.ACQ_IS_REVERSE]
        scan.line(line, flags=tuple(flags), kspace_encode_step_1=row, slice=s)
    x = mri.reconstruct(scan.write(tmp_path / "f.h5"), method="cg-sense")
    assert x.measurement is not None and x.measurement.noise == 1.0
    white = whitening_matrix(torch.from_numpy(9e-6 * mix @ mix.T))
    expected = whiten(truth, white).abs().square().sum(-3).sqrt()
    image = torch.as_tensor(x.image).abs()
    error = float((image - expected).norm() / expected.norm())
    assert error < 0.15


def test_the_absent_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = scan_of(oversampled(images())).write(tmp_path / "f.h5")
    monkeypatch.setitem(__import__("sys").modules, "ismrmrd", None)
    with pytest.raises(FormatError, match="pip install ismrmrd"):
        read_ismrmrd(path)
