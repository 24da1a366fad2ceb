"""Nobody is named: what a scan or series says of a patient stays in files made like that series.

Nor does the name of a file get further than the terminal of whoever typed it.
"""

from __future__ import annotations

import gzip
import json
import logging
from pathlib import Path
from typing import Any

import h5py
import nibabel
import numpy as np
import pytest
import torch
from nibabel.affines import apply_affine
from PIL import Image
from scipy.spatial.transform import Rotation
from typer.testing import CliRunner

from rimaging.cli import app
from rimaging.datasets.bart import write_cfl
from rimaging.datasets.geometry import affine
from rimaging.datasets.guard import identity
from rimaging.datasets.measurement import Kind, Measurement
from rimaging.datasets.save import save
from rimaging.datasets.sources import as_measurement
from rimaging.operators.fourier import centred_fft

pydicom = pytest.importorskip("pydicom", reason="pip install pydicom")

CANARIES = ("canary", "jane-roe", "19700102", "4711-0815")  # none short enough for chance in base64
ROWS, COLUMNS, SLICES, COILS = 24, 20, 2, 2
AXES = Rotation.from_euler("zxy", [25, -40, 15], degrees=True).as_matrix()
POSITIONS = np.array([12, -30, 47]) + np.arange(SLICES)[:, None] * 5 * AXES[:, 2]
PLACE = affine(POSITIONS[0], *AXES.T, (2, 3, 5), (ROWS, COLUMNS))

HEADER = f"""<?xml version="1.0"?>
<ismrmrdHeader xmlns="http://www.ismrm.org/ISMRMRD">
  <subjectInformation>
    <patientName>Canary^Jane-Roe</patientName><patientID>4711-0815</patientID>
    <patientBirthdate>19700102</patientBirthdate>
  </subjectInformation>
  <studyInformation><studyDescription>canary</studyDescription></studyInformation>
  <acquisitionSystemInformation><systemVendor>rimaging</systemVendor></acquisitionSystemInformation>
  <measurementInformation><protocolName>canary</protocolName></measurementInformation>
  <encoding>
    <encodedSpace>
      <matrixSize><x>{ROWS}</x><y>{COLUMNS}</y><z>1</z></matrixSize>
      <fieldOfView_mm><x>{2 * ROWS}</x><y>{3 * COLUMNS}</y><z>5</z></fieldOfView_mm>
    </encodedSpace>
    <reconSpace>
      <matrixSize><x>{ROWS}</x><y>{COLUMNS}</y><z>1</z></matrixSize>
      <fieldOfView_mm><x>{2 * ROWS}</x><y>{3 * COLUMNS}</y><z>5</z></fieldOfView_mm>
    </reconSpace>
    <encodingLimits><kspace_encoding_step_1>
      <minimum>0</minimum><maximum>{COLUMNS - 1}</maximum><center>{COLUMNS // 2}</center>
    </kspace_encoding_step_1></encodingLimits>
    <trajectory>cartesian</trajectory>
  </encoding>
</ismrmrdHeader>"""


def truth() -> np.ndarray:
    """Two slices without symmetry."""
    y, x = np.meshgrid(np.linspace(-1, 1, ROWS), np.linspace(-1, 1, COLUMNS), indexing="ij")
    body = (x**2 / 0.5 + y**2 / 0.6 < 1) + 0.7 * ((x - 0.3) ** 2 + (y + 0.2) ** 2 < 0.1)
    return 1000 * np.stack([body, body + (x + 0.4 > 0) * (y > 0.3)])


def kspace() -> np.ndarray:
    """Of coils with flat maps, (slice, coil, read, phase)."""
    phases = np.exp(1j * np.arange(COILS))[:, None, None] / COILS**0.5
    image = torch.from_numpy((truth()[:, None] * phases).astype(np.complex64))
    rng = np.random.default_rng(0)
    noise = rng.normal(size=(2, *image.shape)).astype(np.float32)
    return (centred_fft(image).numpy() + 5 * (noise[0] + 1j * noise[1])).astype(np.complex64)


def fastmri_file(path: Path) -> Path:
    with h5py.File(path, "w") as file:
        file["kspace"] = kspace()
        file["ismrmrd_header"] = HEADER
        file.attrs["patient_id"] = "4711-0815 canary"
        file.attrs["acquisition"] = "CANARY JANE"
    return path


def ismrmrd_file(path: Path) -> Path:
    ismrmrd = pytest.importorskip("ismrmrd", reason="pip install ismrmrd")
    lines = []
    for index, plane in enumerate(kspace()):
        for row in range(COLUMNS):
            line = ismrmrd.Acquisition.from_array(np.ascontiguousarray(plane[..., row]))
            line.center_sample = ROWS // 2
            line.position[:] = POSITIONS[index]
            for name, vector in zip(("read_dir", "phase_dir", "slice_dir"), AXES.T, strict=True):
                getattr(line, name)[:] = vector
            counters = ismrmrd.EncodingCounters()
            counters.kspace_encode_step_1, counters.slice = row, index
            line.idx = counters
            lines.append(line)
    with ismrmrd.File(path, "w") as file:
        file["dataset"].acquisitions = lines
    with h5py.File(path, "a") as file:
        file["dataset/xml"] = [HEADER.encode()]
    return path


@pytest.fixture(scope="module")
def series(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the scanner made of the same scan, turned as scanners do: rows run the other way."""
    folder = tmp_path_factory.mktemp("scanner") / "series"
    turned = PLACE.copy()
    turned[:3, 3] += turned[:3, 1] * (ROWS - 1)
    turned[:3, 1] *= -1
    image = np.ascontiguousarray(truth()[:, ::-1])
    data = torch.ones(SLICES, 1, ROWS, COLUMNS, dtype=torch.complex64)
    save(f"{folder}/", image, Measurement(kind="kspace", data=data, affine=turned))
    for path in folder.iterdir():
        header = pydicom.dcmread(path)
        header.PatientName, header.PatientID = "Canary^Jane-Roe", "4711-0815"
        header.PatientBirthDate, header.InstitutionName = "19700102", "Canary clinic"
        header.save_as(path)
    return folder


def named(text: str | bytes) -> list[str]:
    plain = text if isinstance(text, str) else text.decode("latin-1")
    return [canary for canary in CANARIES if canary in plain.lower()]


def arguments(scan: Path, output: str, *more: object) -> list[str]:
    fixed = ["recon", scan, "-o", output, "--method", "cg-sense", *more]
    return [str(argument) for argument in fixed]


@pytest.mark.parametrize("make", [fastmri_file, ismrmrd_file])
def test_a_patient_is_named_in_files_like_the_series_and_nowhere_else(
    tmp_path: Path, series: Path, make: Any, caplog: pytest.LogCaptureFixture
) -> None:
    scan = make(tmp_path / "Canary_Jane-Roe_19700102.4711-0815")
    maps = np.exp(1j * np.arange(COILS))[:, None, None] * np.ones((ROWS, COLUMNS)) / COILS**0.5
    coils = tmp_path / "canary-maps.npy"
    np.save(coils, maps.astype(np.complex64))
    said = ""
    out = tmp_path / "out"
    out.mkdir()
    with caplog.at_level(logging.DEBUG):
        for name in ("f.nii.gz", "f.h5", "f.npz", "f.npy", "f.fits"):
            options: list[object] = ["--maps", coils]
            if name == "f.h5":
                options += ["--report", out / "r.html"]
            result = CliRunner().invoke(app, arguments(scan, f"{out}/{name}", *options))
            assert result.exit_code == 0, result.output
            said += result.output
        options = ["--maps", coils, "--like", series]
        result = CliRunner().invoke(app, arguments(scan, f"{out}/dicom/", *options))
        assert result.exit_code == 0, result.output
        said += result.output + CliRunner().invoke(app, ["inspect", str(scan)]).output
    assert named(said + caplog.text) == []
    for path in out.iterdir():
        if path.is_file():
            raw = path.read_bytes()
            assert named(gzip.decompress(raw) if path.suffix == ".gz" else raw) == [], path.name
    # ... but there, with the picture as the scanner shows it
    files = sorted((out / "dicom").iterdir())
    for path, model, expected in zip(files, sorted(series.iterdir()), truth(), strict=True):
        header, old = pydicom.dcmread(path), pydicom.dcmread(model)
        assert header.PatientName == "Canary^Jane-Roe"
        assert header.ImagePositionPatient == old.ImagePositionPatient
        assert named(header.DerivationDescription) == []
        (mapping,) = header.RealWorldValueMappingSequence
        shown = header.pixel_array * mapping.RealWorldValueSlope
        assert np.abs(shown - expected[::-1]).max() < 60
    if make is ismrmrd_file:
        volume = nibabel.load(out / "f.nii.gz")
        for index, position in enumerate(POSITIONS):
            centre = apply_affine(volume.affine, [COLUMNS // 2, ROWS // 2, index])
            assert np.allclose(centre, position * [-1, -1, 1], atol=1e-3)


def write(path: Path, array: np.ndarray) -> Path:
    """An array in the format of the suffix, under a name without it."""
    if path.suffix == ".cfl":
        return write_cfl(path, array[..., None, None].astype(np.complex64))
    if path.suffix == ".png":
        Image.fromarray(array).save(path)
    elif path.suffix == ".nii":
        nibabel.save(nibabel.Nifti1Image(array, np.eye(4)), path)
    elif path.suffix == ".npz":
        np.savez(path, image=array)
    else:
        np.save(path, array)
    return path.rename(path.with_suffix(".4711-0815"))


@pytest.mark.parametrize("suffix", [".png", ".nii", ".npz", ".npy", ".cfl"])
def test_the_sha256_stands_for_the_name_of_a_scan_or_picture(tmp_path: Path, suffix: str) -> None:
    array = (50 + truth()[0] / 10 + np.arange(COLUMNS)).astype(np.float32)
    array = array.astype(np.uint8) if suffix == ".png" else array
    path = write(tmp_path / f"canary_jane{suffix}", array)
    kind: Kind = "kspace" if suffix == ".cfl" else "image"
    provenance = as_measurement(path, kind).provenance
    assert named(json.dumps(provenance, default=str)) == []
    assert provenance["sha256"] == identity(path.with_suffix(".cfl") if suffix == ".cfl" else path)


def test_the_name_of_a_file_of_the_sky_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "hst_13_drz.npz"
    np.savez(path, image=truth()[0].astype(np.float32), psf=np.ones((3, 3), np.float32))
    assert as_measurement(path, "sky").provenance["file"] == path.name


def test_errors_name_nobody(tmp_path: Path, series: Path) -> None:
    scan = fastmri_file(tmp_path / "scan.h5")
    other = tmp_path / "other"
    other.mkdir()
    header = pydicom.dcmread(next(series.iterdir()))
    header.save_as(other / "canary-jane.dcm")
    maps = tmp_path / "maps.npy"
    np.save(maps, np.ones((COILS, ROWS, COLUMNS), np.complex64))
    spoilt = tmp_path / "spoilt.h5"
    spoilt.write_bytes(scan.read_bytes()[:3000])
    short = other / "truncated.dcm"
    cases = [
        (scan, "out/", ("--like", other), "slices of"),
        (scan, "out.nii.gz", ("--like", series), "--like is for DICOM"),
        (scan, "out/", (), "no slice positions"),
        (scan, "out/", ("--like", tmp_path), "no MR image"),
        (spoilt, "out/", ("--like", series), "damaged"),
    ]
    for source, output, more, words in cases:
        command = arguments(source, f"{tmp_path}/{output}", "--maps", maps, *more)
        result = CliRunner().invoke(app, command)
        assert result.exit_code == 2, result.output
        (line,) = result.stderr.splitlines()
        assert words in line
        assert named(result.output) == []
    short.write_bytes((other / "canary-jane.dcm").read_bytes()[:700])
    command = arguments(scan, f"{tmp_path}/out/", "--like", other)
    result = CliRunner().invoke(app, command)
    assert "truncated" in result.stderr
    assert named(result.output) == []
    assert not (tmp_path / "out").exists()
