from __future__ import annotations

import builtins
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from nibabel.affines import apply_affine
from nibabel.nicom.dicomwrappers import wrapper_from_data
from scipy.spatial.transform import Rotation

from rimaging.datasets.dicom import write_dicom
from rimaging.datasets.dicom_header import TOP, scale_of
from rimaging.datasets.dicom_series import quiet_pydicom, read_series
from rimaging.datasets.geometry import affine, planes_affine
from rimaging.datasets.measurement import Measurement
from rimaging.datasets.save import save
from rimaging.errors import DataError, FormatError, OptionError, RimagingError

pydicom = pytest.importorskip("pydicom", reason="pip install pydicom")
get_testdata_file = pytest.importorskip("pydicom.data").get_testdata_file

SHAPE = (3, 12, 10)
SCAN = affine(
    [12, -30, 47],
    *Rotation.from_euler("zxy", [25, -40, 15], degrees=True).as_matrix().T,
    (1.25, 0.8, 4.4),
    SHAPE,
)
IMAGE = np.random.default_rng(0).gamma(2, 500, SHAPE).astype(np.float32)


KEPT = (
    "PatientName",
    "PatientID",
    "PatientBirthDate",
    "StudyInstanceUID",
    "StudyDescription",
    "FrameOfReferenceUID",
    "EchoTime",
    "ImageOrientationPatient",
    "ImagePositionPatient",
    "PixelSpacing",
)


def scan(image: np.ndarray = IMAGE, place: np.ndarray | None = SCAN, **provenance: Any) -> Any:
    """A measurement whose image is the given one."""
    kspace = torch.ones(*image.shape[:-2], 1, *image.shape[-2:], dtype=torch.complex64)
    return Measurement(kind="kspace", data=kspace, affine=place, provenance=provenance)


def real(header: Any) -> np.ndarray:
    """The values that the stored integers stand for."""
    (mapping,) = header.RealWorldValueMappingSequence
    assert mapping.RealWorldValueIntercept == 0
    return np.asarray(header.pixel_array * mapping.RealWorldValueSlope)


def files(folder: Path) -> list[Any]:
    return [pydicom.dcmread(path) for path in sorted(folder.iterdir())]


@pytest.fixture(scope="module")
def series(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A scanner's series: of a patient, named files in disorder, numbered downwards, rescaled."""
    folder = tmp_path_factory.mktemp("scanner") / "series"
    save(f"{folder}/", IMAGE, scan())
    for path, name in zip(sorted(folder.iterdir()), ("b", "c", "a"), strict=True):
        header = pydicom.dcmread(path)
        header.PatientName, header.PatientID = "Canary^Jane", "ID-CANARY"
        header.PatientBirthDate, header.StudyDescription = "19700102", "CANARY knee"
        header.EchoTime, header.SeriesNumber, header.SeriesDescription = "4.2", 7, "t2 tse"
        header.InstanceNumber = 30 - int(header.InstanceNumber)
        header.SOPInstanceUID = pydicom.uid.generate_uid(prefix=None)
        header.add_new((0x0029, 0x0010), "LO", "SIEMENS CSA HEADER")
        header.add_new((0x0029, 0x1010), "OB", b"protocol of CANARY")
        header.add_new((0x6000, 0x0010), "US", 12)
        header.add_new((0x0028, 0x0106), "US", 0)
        header.save_as(folder / name)
        path.unlink()
    (folder / "notes.txt").write_text("not DICOM")
    return folder


def test_from_scratch_the_voxels_lie_where_the_affine_says(tmp_path: Path) -> None:
    folder = save(f"{tmp_path}/dicom/", IMAGE, scan())
    assert [path.name for path in tmp_path.iterdir()] == ["dicom"]
    written = files(folder)
    assert len(written) == 3
    for k, header in enumerate(written):
        # PS3.3 C.7.6.2.1.1: the last pixel from the position, the cosines and the spacing
        rows, columns = np.array(header.ImageOrientationPatient, float).reshape(2, 3)
        down, across = map(float, header.PixelSpacing)
        position = np.array(header.ImagePositionPatient, float)
        last = position + rows * across * 9 + columns * down * 11
        assert np.allclose(position * [-1, -1, 1], apply_affine(SCAN, [0, 0, k]), atol=1e-6)
        assert np.allclose(last * [-1, -1, 1], apply_affine(SCAN, [9, 11, k]), atol=1e-6)
        assert np.isclose(float(header.SpacingBetweenSlices), 4.4)
        # and as nibabel reads DICOM, which counts (row, column)
        theirs = wrapper_from_data(header).affine
        assert np.allclose(apply_affine(theirs, [11, 9, 0]), last, atol=1e-6)
        shown = real(header)
        (mapping,) = header.RealWorldValueMappingSequence
        assert np.abs(shown - IMAGE[k]).max() <= 0.51 * mapping.RealWorldValueSlope
        assert header.PatientName == ""
        assert header.file_meta.MediaStorageSOPInstanceUID == header.SOPInstanceUID
    for name in ("StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID", "WindowWidth"):
        assert len({header[name].value for header in written}) == 1
    assert len({header.SOPInstanceUID for header in written}) == 3
    again = read_series(folder)
    assert np.allclose(planes_affine(again.planes), SCAN, atol=1e-6)
    assert again.shape == SHAPE


def test_like_a_series_all_but_the_pixels_is_as_it_was(tmp_path: Path, series: Path) -> None:
    model = read_series(series)
    folder = save(f"{tmp_path}/out/", IMAGE, scan(), like=series, history="rimaging rim")
    written = files(folder)
    for header, (old,) in zip(written, model.headers, strict=True):
        for name in KEPT:
            assert header[name].value == old[name].value, name
        for name in ("SOPInstanceUID", "SeriesInstanceUID"):
            assert header[name].value != old[name].value
        assert header.SeriesNumber == 1007
        assert header.SeriesDescription == "t2 tse rimaging"
        assert list(header.ImageType)[:2] == ["DERIVED", "SECONDARY"]
        assert header.DerivationDescription.startswith("rimaging rim; oriented by the positions")
        assert not any(tag.is_private or tag.group == 0x6000 for tag in header.keys())  # noqa: SIM118
        assert "SmallestImagePixelValue" not in header
    assert [header.InstanceNumber for header in written] == [1, 2, 3]
    # the series counts downwards along its normal, and so does what is like it
    for header, picture in zip(written, IMAGE[::-1], strict=True):
        assert np.abs(real(header) - picture).max() < 0.2


ORIENTATIONS = [
    (swap, *flips)
    for swap in (False, True)
    for flips in np.ndindex(2, 2, 2)  # slice, y, x
]


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("turn", ORIENTATIONS)
def test_an_image_is_turned_to_lie_as_the_series_does(
    tmp_path: Path, series: Path, turn: tuple[bool, ...], known: bool
) -> None:
    """By its positions where the scan states them, else by likeness to the pictures."""
    swap, *flips = turn
    noise = np.random.default_rng(1).normal(0, 200, SHAPE)
    image, place = (IMAGE + noise).clip(0).astype(np.float32), SCAN.copy()
    for axis, flip in enumerate(flips):
        if flip:
            image = np.flip(image, axis)
            column = 2 - axis
            place[:3, 3] += place[:3, column] * (SHAPE[axis] - 1)
            place[:3, column] *= -1
    if swap:
        image, place = image.swapaxes(1, 2), place[:, [1, 0, 2, 3]]
    source = scan(image, place) if known else scan(image, None)
    folder = save(f"{tmp_path}/out/", np.ascontiguousarray(image), source, like=series)
    for header, expected in zip(files(folder), (IMAGE + noise).clip(0)[::-1], strict=True):
        assert np.abs(real(header) - expected).max() < 0.2
        assert ("positions" if known else "likeness") in header.DerivationDescription


def test_left_and_right_are_never_guessed(tmp_path: Path, series: Path) -> None:
    symmetric = IMAGE + IMAGE[:, :, ::-1]
    unlike = np.random.default_rng(5).random(SHAPE).astype(np.float32)
    for image in (symmetric, unlike):
        with pytest.raises(DataError, match="left and right"):
            save(f"{tmp_path}/out/", image, scan(place=None), like=series)
    with pytest.raises(FormatError, match="no slice positions"):
        save(f"{tmp_path}/out/", IMAGE, scan(geometry="voxel sizes only"))
    with pytest.raises(FormatError, match="no slice positions"):
        save(f"{tmp_path}/out/", IMAGE)
    assert list(tmp_path.iterdir()) == []


def test_what_does_not_fit_the_series_is_refused(tmp_path: Path, series: Path) -> None:
    shifted = SCAN.copy()
    shifted[0, 3] += 9
    coarse = np.diag([2.0, 2.0, 4.4, 1.0])
    for image, source, words in (
        (IMAGE[:2], scan(IMAGE[:2]), "3 slices of 12 x 10, the image 2 of 12 x 10"),
        (IMAGE[:2], None, "3 slices of 12 x 10, the image 2 of 12 x 10"),
        (IMAGE[:, :6], None, "the image 3 of 6 x 10"),
        (IMAGE, scan(place=shifted), "up to 9 mm"),
        (IMAGE, scan(place=coarse, geometry="sizes"), "2 x 2 mm"),
        (np.stack([IMAGE] * 2) * np.nan, None, "NaN"),
    ):
        with pytest.raises(DataError, match=words) as refused:
            save(f"{tmp_path}/out/", image, source, like=series)
        assert "\n" not in str(refused.value)
    with pytest.raises(OptionError, match="folder"):
        save(tmp_path / "f.nii.gz", IMAGE, scan(), like=series)
    assert list(tmp_path.iterdir()) == []


def test_frames_are_one_file_for_each_slice_and_time(tmp_path: Path, series: Path) -> None:
    film = np.stack([IMAGE, 2 * IMAGE])
    for like in (None, series):
        folder = save(f"{tmp_path}/{like is None}/", film, scan(film), like=like)
        written = files(folder)
        assert [header.InstanceNumber for header in written] == [1, 2, 3, 4, 5, 6]
        times = [int(header.TemporalPositionIdentifier) for header in written]
        assert times == [1, 1, 1, 2, 2, 2]
        again = read_series(folder)
        assert [len(images) for images in again.headers] == [2, 2, 2]
        bright = [real(h).mean() for h in written]
        assert np.allclose(np.array(bright[3:]) / bright[:3], 2, rtol=1e-2)
    # a film of one slice, like another: each frame takes the header of its time
    single = save(f"{tmp_path}/single/", film[:, :1], scan(film[:, :1]))
    again = save(f"{tmp_path}/again/", 3 * film[:, :1], None, like=single)
    assert len(files(again)) == 2
    with pytest.raises(DataError, match="2 images of each slice, the reconstruction 1"):
        save(f"{tmp_path}/none/", film[0, 0], None, like=single)


@given(st.floats(-12, 8), st.booleans(), st.integers(0, 99))
def test_values_come_back_to_half_a_step_at_any_scale(
    exponent: float, signed: bool, seed: int
) -> None:
    image = 10**exponent * np.random.default_rng(seed).normal(size=(2, 9, 9))
    image = image if signed else np.abs(image)
    scale = scale_of(image)
    stored = scale.stored(image)
    assert stored.dtype == (np.int16 if signed else np.uint16)
    assert TOP / 2.51 < np.abs(stored).max() <= TOP
    assert f"{scale.factor:e}"[0] in "125"
    assert f"{scale.factor:e}"[1:].startswith(".000000e")
    assert np.abs(stored / scale.factor - image).max() <= 0.5001 / scale.factor
    assert scale.window[1] >= 1
    assert scale_of(0 * image).stored(0 * image).max() == 0


REQUIRED = (
    *("PatientName", "PatientID", "PatientBirthDate", "PatientSex"),
    *("StudyInstanceUID", "StudyDate", "StudyTime", "ReferringPhysicianName", "StudyID"),
    *("AccessionNumber", "Modality", "SeriesInstanceUID", "SeriesNumber", "Laterality"),
    *("PatientPosition", "FrameOfReferenceUID", "PositionReferenceIndicator", "Manufacturer"),
    *("InstanceNumber", "ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing"),
    *("SliceThickness", "SamplesPerPixel", "PhotometricInterpretation", "Rows", "Columns"),
    *("BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation", "PixelData", "ImageType"),
    *("ScanningSequence", "SequenceVariant", "ScanOptions", "MRAcquisitionType"),
    *("RepetitionTime", "EchoTime", "EchoTrainLength", "SOPClassUID", "SOPInstanceUID"),
)
"""Types 1 and 2 of the MR Image IOD (PS3.3 A.4), and 2C where the part of the body is unknown."""


def written_kinds(folder: Path, series: Path) -> dict[str, list[Any]]:
    """What there is to write: slices, a film, signed values, like a series with gaps in it."""
    film = np.stack([IMAGE, 2 * IMAGE])
    thin = folder / "thin"
    shutil.copytree(series, thin)
    for path in thin.glob("?"):  # an anonymiser takes more than it must
        header = pydicom.dcmread(path)
        for name in ("PatientSex", "ReferringPhysicianName", "AccessionNumber", "EchoTrainLength"):
            delattr(header, name)
        header.RescaleSlope, header.RescaleIntercept, header.RescaleType = 2, 0, "US"
        header.add_new("SmallestPixelValueInSeries", "US", 0)
        header.save_as(path)
    facts = {"slice_thickness_mm": 3.9, "patient_position": "FFP"}
    saved = {
        "slices": save(f"{folder}/slices/", IMAGE, scan(**facts)),
        "one": save(f"{folder}/one/", IMAGE[0], scan(IMAGE[0])),
        "film": save(f"{folder}/film/", film, scan(film)),
        "signed": save(f"{folder}/signed/", IMAGE - 900, scan()),
        "like": save(f"{folder}/like/", IMAGE, scan(), like=series),
        "like thin": save(f"{folder}/like-thin/", IMAGE, scan(), like=thin),
    }
    return {name: sorted(path.iterdir()) for name, path in saved.items()}


def test_what_the_standard_requires_is_there(tmp_path: Path, series: Path) -> None:
    for name, paths in written_kinds(tmp_path, series).items():
        for path in paths:
            header = pydicom.dcmread(path)
            missing = [keyword for keyword in REQUIRED if keyword not in header]
            assert missing == [], name
            # an MR image has no modality LUT: a window of rescaled values would be a wrong one
            assert not [element for element in header if element.keyword.startswith("Rescale")]
            assert "SmallestPixelValueInSeries" not in header
            assert header.PixelRepresentation == (name == "signed")
            low = float(header.WindowCenter) - float(header.WindowWidth) / 2
            assert low < np.median(header.pixel_array) < low + float(header.WindowWidth)
            assert (header.pixel_array.min() < 0) == (name == "signed")
            if name == "slices":
                assert (header.SliceThickness, header.PatientPosition) == (3.9, "FFP")
            if name in ("one", "film"):
                assert (header.SliceThickness, header.PatientPosition) == (4.4, "")


EXPLAINED = (
    "DICOMDIR",  # the patient is nobody, the study of no date
    "attribute <Laterality>",  # empty, for the part of the body is unknown
    "Retired Person Name form",  # as the series has it
)


def test_the_validator_of_dicom3tools_finds_no_error(tmp_path: Path, series: Path) -> None:
    if shutil.which("dciodvfy") is None or shutil.which("dcentvfy") is None:
        pytest.skip("dciodvfy is not installed: apt install dicom3tools")
    for name, paths in written_kinds(tmp_path, series).items():
        said = [
            subprocess.run(["dciodvfy", path], capture_output=True, text=True) for path in paths
        ]
        said.append(subprocess.run(["dcentvfy", *paths], capture_output=True, text=True))
        lines = [line for run in said for line in (run.stdout + run.stderr).splitlines() if line]
        wrong = [line for line in lines if not any(words in line for words in EXPLAINED)]
        assert set(wrong) == {"MRImage"}, name


@pytest.mark.parametrize("name", ["MR_small", "MR_small_implicit", "MR_small_bigendian"])
def test_a_real_scanners_file_is_a_model_too(tmp_path: Path, name: str) -> None:
    model = get_testdata_file(f"{name}.dcm")
    assert isinstance(model, str)
    old = pydicom.dcmread(model)
    image = old.pixel_array.astype(np.float32)
    turned = np.ascontiguousarray(image.T[::-1])
    (header,) = files(save(f"{tmp_path}/out/", turned, None, like=model))
    assert np.abs(real(header) - image).max() < 0.2
    assert header.ImagePositionPatient == old.ImagePositionPatient
    assert header.StudyInstanceUID == old.StudyInstanceUID


def test_a_folder_appears_whole_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "dicom").mkdir()  # an empty folder may be filled
    folder = save(f"{tmp_path}/dicom/", IMAGE, scan())
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(FormatError, match="overwrite=True"):
        save(f"{tmp_path}/dicom/", IMAGE[:2], scan(IMAGE[:2]))
    write, count = Path.write_bytes, 0

    def full(path: Path, content: Any) -> int:
        nonlocal count
        count += 1
        if count == 2:
            raise OSError(28, "No space left on device")
        return write(path, content)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", full)
        with pytest.raises(FormatError, match="No space left"):
            save(f"{tmp_path}/dicom/", IMAGE, scan(), overwrite=True)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    save(f"{tmp_path}/dicom/", IMAGE[:2], scan(IMAGE[:2]), overwrite=True)
    assert len(list(folder.iterdir())) == 2
    (folder / "notes.txt").write_text("mine")
    with pytest.raises(FormatError, match="not replaced"):
        save(f"{tmp_path}/dicom/", IMAGE, scan(), overwrite=True)
    with pytest.raises(FormatError, match="create it first"):
        save(f"{tmp_path}/absent/dicom/", IMAGE, scan())
    assert [path.name for path in tmp_path.iterdir()] == ["dicom"]


def test_what_is_no_series_is_named_without_naming_anybody(tmp_path: Path, series: Path) -> None:
    broken = {
        "truncated": lambda f: (f / "a").write_bytes((f / "a").read_bytes()[:700]),
        "no MR image": lambda f: [p.unlink() for p in f.iterdir()],
        "2 DICOM series": lambda f: change(f / "a", SeriesInstanceUID="1.2.3"),
        "localizer": lambda f: change(f / "a", ImageOrientationPatient=[1, 0, 0, 0, 1, 0]),
        "not of MR": lambda f: change(f / "a", SOPClassUID="1.2.840.10008.5.1.4.1.1.2"),
        "multi-frame": lambda f: change(f / "a", SOPClassUID="1.2.840.10008.5.1.4.1.1.4.1"),
        "1 to 2 images": lambda f: shutil.copy(f / "a", f / "d"),
        "lacks its size": lambda f: change(f / "a", PixelSpacing=None),
        "does not exist": shutil.rmtree,
    }
    for words, spoil in broken.items():
        folder = tmp_path / "CANARY"
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(series, folder)
        spoil(folder)
        with pytest.raises((FormatError, DataError), match=words) as refused:
            read_series(folder)
        assert "canary" not in str(refused.value).lower()
        assert refused.value.__cause__ is None


def test_a_value_that_cannot_be_written_is_quoted_by_nobody(
    tmp_path: Path, series: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The writer of pydicom makes an OSError of it, with the value: it is not the disk's."""
    model = read_series(series)
    with quiet_pydicom():
        model.headers[0][0].add_new("EchoNumbers", "US", "CANARY")
    monkeypatch.setattr("rimaging.datasets.dicom.read_series", lambda _: model)
    with pytest.raises(FormatError, match="breaks the standard") as refused:
        save(f"{tmp_path}/out/", IMAGE, scan(), like=series)
    assert refused.value.__cause__ is None
    assert list(tmp_path.iterdir()) == []


@pytest.mark.filterwarnings("error")
@given(st.lists(st.tuples(st.integers(132, 1 << 16), st.integers(0, 255)), min_size=1, max_size=9))
def test_of_a_damaged_file_no_error_of_pydicom_comes_out(
    tmp_path_factory: pytest.TempPathFactory, damage: list[tuple[int, int]]
) -> None:
    """They quote values; what comes out is ours, without cause, or the damage did no harm."""
    folder = tmp_path_factory.mktemp("damaged")
    model = get_testdata_file("MR_small.dcm")
    assert isinstance(model, str)
    raw = bytearray(Path(model).read_bytes())
    if not damage[1:]:  # a number that is none
        raw[raw.index(b"IS", 132) + 4] = damage[0][1]
    for place, value in damage:
        raw[132 + place % 1500] = value  # in the header, behind its mark
    (folder / "a").write_bytes(raw)
    image = pydicom.dcmread(model).pixel_array.astype(np.float32)
    try:
        save(f"{folder}/out/", image, None, like=folder / "a")
    except RimagingError as refused:
        assert refused.__cause__ is None


def change(path: Path, **values: Any) -> None:
    header = pydicom.dcmread(path)
    for name, value in values.items():
        setattr(header, name, value)
    header.save_as(path)


def test_without_pydicom_its_installation_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = builtins.__import__

    def absent(name: str, *args: Any, **options: Any) -> Any:
        if name.partition(".")[0] == "pydicom":
            raise ImportError(name)
        return real(name, *args, **options)

    monkeypatch.setattr(builtins, "__import__", absent)
    with pytest.raises(FormatError, match="pip install pydicom"):
        write_dicom(tmp_path, IMAGE, SCAN, scanner=True)
    with pytest.raises(FormatError, match="pip install pydicom"):
        read_series(tmp_path)
