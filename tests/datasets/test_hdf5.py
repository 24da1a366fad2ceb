from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from rimaging.datasets.hdf5 import read_hdf5, write_hdf5
from rimaging.datasets.inspect import inspect
from rimaging.datasets.save import save
from rimaging.errors import DataError, FormatError, RimagingError, ShapeError

HEADER = """<?xml version="1.0"?>
<ismrmrdHeader xmlns="http://www.ismrm.org/ISMRMRD">
  <subjectInformation><patientName>Jane Doe</patientName></subjectInformation>
  <encoding>
    <encodedSpace>
      <matrixSize><x>64</x><y>30</y><z>1</z></matrixSize>
      <fieldOfView_mm><x>320</x><y>150</y><z>7.5</z></fieldOfView_mm>
    </encodedSpace>
    <reconSpace>
      <matrixSize><x>32</x><y>30</y><z>1</z></matrixSize>
      <fieldOfView_mm><x>160</x><y>150</y><z>5</z></fieldOfView_mm>
    </reconSpace>
  </encoding>
</ismrmrdHeader>"""


def kspace(*shape: int) -> np.ndarray:
    rng = np.random.default_rng(0)
    return (rng.normal(size=shape) + 1j * rng.normal(size=shape)).astype(np.complex64)


def write(path: Path, **datasets: Any) -> Path:
    with h5py.File(path, "w") as file:
        for name, value in datasets.items():
            file[name] = value
        file.attrs["patient_id"] = "0123-SECRET"
        file.attrs["acquisition"] = "AXT2"
    return path


def test_a_multicoil_volume_comes_with_mask_reference_and_voxels(tmp_path: Path) -> None:
    mask = (np.arange(30) % 2 == 0).astype(np.float32)
    data = kspace(3, 4, 64, 30) * mask
    rss = np.ones((3, 32, 30), np.float32)
    path = write(
        tmp_path / "f.h5", kspace=data, mask=mask, reconstruction_rss=rss, ismrmrd_header=HEADER
    )
    m = read_hdf5(path)
    assert np.array_equal(m.data.numpy(), data)
    assert m.mask is not None
    assert np.array_equal(m.mask.numpy(), np.broadcast_to(mask, (64, 30)))
    assert m.reference is not None
    assert m.reference.shape == (3, 32, 30)
    assert m.provenance["recon_size"] == [32, 30]
    assert m.provenance["acquisition"] == "AXT2"
    assert "no slice positions" in m.provenance["geometry"]
    # 5 mm in both axes of the encoded grid, slices of 5 mm; the middle of the volume at 0
    assert m.affine is not None
    assert np.allclose(np.abs(np.diag(m.affine)), [5, 5, 5, 1])
    middle = np.array([(30 - 1) / 2, (64 - 1) / 2, 1, 1])
    assert np.allclose(m.affine @ middle, [0, 0, 0, 1])


def test_a_single_coil_volume_gets_its_coil_axis(tmp_path: Path) -> None:
    data = kspace(3, 16, 12)
    m = read_hdf5(write(tmp_path / "f.h5", kspace=data))
    assert m.data.shape == (3, 1, 16, 12)
    assert m.likelihood().operator.domain.shape == (16, 12)


def test_nobody_is_named(tmp_path: Path) -> None:
    path = write(tmp_path / "doe_jane.h5", kspace=kspace(1, 2, 8, 8), ismrmrd_header=HEADER)
    text = repr(read_hdf5(path).provenance).lower()
    assert not any(word in text for word in ("jane", "doe", "secret"))


@pytest.mark.parametrize("header", ["<a>", "no xml", "<a/>", '<!DOCTYPE a [<!ENTITY b "c">]><a/>'])
def test_a_useless_header_costs_only_the_geometry(tmp_path: Path, header: str) -> None:
    m = read_hdf5(write(tmp_path / "f.h5", kspace=kspace(1, 2, 8, 8), ismrmrd_header=header))
    assert m.affine is None


def test_other_files_are_never_read(tmp_path: Path) -> None:
    secret = write(tmp_path / "secret.h5", kspace=kspace(1, 2, 8, 8))
    raw = tmp_path / "secret.bin"
    raw.write_bytes(kspace(1, 2, 8, 8).tobytes())
    link, external, virtual = (tmp_path / name for name in ("link.h5", "ext.h5", "virtual.h5"))
    with h5py.File(link, "w") as file:
        file["kspace"] = h5py.ExternalLink(str(secret), "kspace")
    with h5py.File(external, "w") as file:
        file.create_dataset("kspace", (1, 2, 8, 8), "c8", external=[(str(raw), 0, 1024)])
    with h5py.File(virtual, "w") as file:
        layout = h5py.VirtualLayout((1, 2, 8, 8), "c8")
        layout[:] = h5py.VirtualSource(str(secret), "kspace", (1, 2, 8, 8))
        file.create_virtual_dataset("kspace", layout)
    for path in (link, external, virtual):
        with pytest.raises(FormatError, match="refused"):
            read_hdf5(path)


def test_soft_links_do_not_lead_out(tmp_path: Path) -> None:
    secret = write(tmp_path / "secret.h5", kspace=kspace(1, 2, 8, 8))
    path = tmp_path / "soft.h5"
    with h5py.File(path, "w") as file:
        file.create_group("deep")["out"] = h5py.ExternalLink(str(secret), "kspace")
        file["kspace"] = h5py.SoftLink("/deep/out")
    with pytest.raises(FormatError, match="expected 'kspace'"):
        read_hdf5(path)


def test_a_shape_bomb_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "bomb.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("kspace", (10**4, 16, 640, 640), "c8", chunks=(1, 1, 640, 640))
    with pytest.raises(FormatError, match="declares"):
        read_hdf5(path)


def test_a_file_without_kspace_lists_what_it_has(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="images"):
        read_hdf5(write(tmp_path / "f.h5", images=np.ones((2, 2))))


def test_every_truncation_is_named(tmp_path: Path) -> None:
    path = write(tmp_path / "f.h5", kspace=kspace(2, 2, 32, 32))
    whole = path.read_bytes()
    for length in (0, 20, 1000, len(whole) - 500):
        path.write_bytes(whole[:length])
        with pytest.raises(FormatError, match="damaged"):
            read_hdf5(path)


def test_fastmris_evaluation_reads_what_is_written(tmp_path: Path) -> None:
    """As its evaluate.py does: the two files have one name, the arrays three axes."""
    image = np.random.default_rng(0).normal(size=(3, 20, 16)) * np.exp(1j)
    affine = np.diag([-1.0, -2, 3, 1])
    facts = {"method": "rim", "input": {"acquisition": "AXT2"}}
    write_hdf5(tmp_path / "f.h5", {"image": image}, facts, affine=affine, scanner=True)
    with h5py.File(tmp_path / "f.h5") as file:
        found = file["reconstruction"][()]
        assert np.allclose(found, np.abs(image))
        assert (file.attrs["acquisition"], file.attrs["origin"]) == ("AXT2", "scanner")
        assert np.isclose(file.attrs["max"], np.abs(image).max())
        assert np.isclose(file.attrs["norm"], np.linalg.norm(image))
        assert np.array_equal(file.attrs["affine"], affine)
    facts["input"] = {"acquisition": "Jane Doe"}
    write_hdf5(tmp_path / "g.h5", {"image": np.abs(image[0])}, facts)
    with h5py.File(tmp_path / "g.h5") as file:
        assert file["reconstruction"].shape == (1, 20, 16)
        assert "acquisition" not in file.attrs
        assert "affine" not in file.attrs


PADDED = HEADER.replace(
    "  </encoding>",
    "    <encodingLimits><kspace_encoding_step_1><minimum>0</minimum><maximum>23</maximum>"
    "<center>13</center></kspace_encoding_step_1></encodingLimits>\n  </encoding>",
)


def test_padding_is_not_measured_and_numbers_of_the_attributes_are_kept(tmp_path: Path) -> None:
    """padding_left = 30 // 2 - 13 = 2, padding_right = 2 + 24 = 26, as fastMRI's own loader."""
    data = kspace(3, 4, 64, 30)
    data[..., :2] = data[..., 26:] = 0
    mask = (np.arange(30) % 3 != 1).astype(np.float32)
    path = write(tmp_path / "f.h5", kspace=data * mask, mask=mask, ismrmrd_header=PADDED)
    with h5py.File(path, "a") as file:
        file.attrs["acceleration"], file.attrs["num_low_frequency"] = np.int64(4), 8
        file.attrs["max"], file.attrs["norm"] = "Jane", 2.0
    m = read_hdf5(path)
    assert m.provenance["padding"] == [2, 26]
    assert (m.provenance["acceleration"], m.provenance["num_low_frequency"]) == (4, 8)
    assert m.mask is not None
    expected = mask * (np.arange(30) >= 2) * (np.arange(30) < 26)
    assert np.array_equal(m.mask[0].numpy(), expected)


def test_limits_that_mean_something_else_change_nothing(tmp_path: Path) -> None:
    data = kspace(1, 2, 64, 30)
    m = read_hdf5(write(tmp_path / "f.h5", kspace=data, ismrmrd_header=PADDED))
    assert "padding" not in m.provenance
    assert np.array_equal(m.data.numpy(), data)


@pytest.mark.parametrize("name", ["reconstruction_rss", "reconstruction_esc"])
def test_single_and_multicoil_references(tmp_path: Path, name: str) -> None:
    shape = (3, 64, 30) if name.endswith("esc") else (3, 4, 64, 30)
    reference = np.random.default_rng(1).random((3, 32, 30)).astype(np.float32)
    m = read_hdf5(write(tmp_path / "f.h5", kspace=kspace(*shape), **{name: reference}))
    assert m.reference is not None and np.array_equal(m.reference.numpy(), reference)
    assert m.mask is None
    assert m.data.shape == (3, 1 if name.endswith("esc") else 4, 64, 30)


def test_a_mask_of_another_length_and_samples_that_are_no_numbers(tmp_path: Path) -> None:
    data = kspace(1, 2, 64, 30)
    with pytest.raises(ShapeError, match="mask"):
        read_hdf5(write(tmp_path / "f.h5", kspace=data, mask=np.ones(29)))
    data[0, 1, 2, 3] = np.nan
    with pytest.raises(DataError, match="1 of 3840 values are NaN"):
        read_hdf5(write(tmp_path / "f.h5", kspace=data))


def test_nobody_is_named_by_errors_nor_by_what_is_saved(tmp_path: Path) -> None:
    secrets = ("Jane Doe", "0123-SECRET")
    path = write(tmp_path / "f.h5", kspace=kspace(2, 3, 64, 30), ismrmrd_header=HEADER)
    m = read_hdf5(path)
    x = np.ones((2, 32, 30), np.float32)
    for suffix in (".nii", ".h5", ".npz", ".npy", ".cfl"):
        file = save(tmp_path / f"x{suffix}", x, m, provenance=m.provenance)
        assert not any(secret.encode() in file.read_bytes() for secret in secrets)
    for broken in ({"mask": np.ones(29)}, {"mask": np.zeros(30)}, {"kspace": np.ones((2, 2))}):
        arrays = {"kspace": kspace(2, 3, 64, 30), "ismrmrd_header": HEADER, **broken}
        bad = write(tmp_path / "bad.h5", **arrays)
        with pytest.raises(RimagingError) as caught:
            read_hdf5(bad)
        said = " ".join((str(caught.value), str(inspect(bad)), str(inspect(path)), repr(m)))
        assert not any(secret in said for secret in secrets)
