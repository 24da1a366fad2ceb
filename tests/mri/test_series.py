"""Volumes and films slice by slice: as in one process, bit for bit, whatever dies on the way."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from torch import Tensor
from typer.testing import CliRunner

from rimaging import mri
from rimaging.cli import app
from rimaging.datasets.losses import losses
from rimaging.errors import DataError, FormatError, OptionError
from rimaging.mosaic.cluster import local_cluster
from rimaging.mosaic.folder import RunFolder
from rimaging.mosaic.receipts import read_receipts
from rimaging.operators.cartesian import CartesianMRI
from rimaging.operators.noncartesian import NonCartesianMRI
from rimaging.operators.trajectories import radial
from rimaging.rim.config import RIMConfig
from rimaging.rim.rim import RIM
from rimaging.rim.weights import save_weights

SIZE = 32
SIGMA = 0.01
SLICES = 6


@pytest.fixture(autouse=True)
def one_way(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """One thread, as a worker has; and slices one by one, since for images as small as these the
    convolution of a batch takes another way through the library, which rounds otherwise."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    monkeypatch.setattr("rimaging.datasets.pieces.CPU_PIECE", 1)
    yield
    torch.set_num_threads(threads)


def coil_maps() -> Tensor:
    axis = torch.linspace(-1, 1, SIZE)
    maps = []
    for angle in 2 * torch.pi * torch.arange(4) / 4:
        y, x = axis[:, None] - torch.sin(angle), axis - torch.cos(angle)
        maps.append(torch.exp(-(y**2 + x**2) / 2) * torch.exp(1j * (y + x * angle)))
    stacked = torch.stack(maps)
    return (stacked / stacked.abs().square().sum(0).sqrt()).to(torch.complex64)


def lines() -> Tensor:
    mask = torch.zeros(SIZE)
    mask[::2] = mask[8:24] = 1
    return mask


def images(count: int = SLICES) -> Tensor:
    axis = torch.linspace(-1, 1, SIZE)
    radius = torch.hypot(axis[:, None], axis)
    grown = 0.5 + 0.05 * torch.arange(count)[:, None, None]
    return ((radius < grown) * (1 - radius / 2)).to(torch.complex64)


def noisy(clean: Tensor) -> Tensor:
    noise = torch.randn(*clean.shape, 2, generator=torch.Generator().manual_seed(1))
    return clean + SIGMA * torch.view_as_complex(noise)


def kspace(count: int = SLICES) -> Tensor:
    mask = lines().expand(SIZE, SIZE)
    return noisy(CartesianMRI(coil_maps(), mask)(images(count))) * mask


@pytest.fixture
def scan(tmp_path: Path) -> Path:
    """A file as fastMRI's, a chunk with its checksum for each slice."""
    data = kspace().numpy()
    with h5py.File(tmp_path / "scan.h5", "w") as file:
        file.create_dataset("kspace", data=data, chunks=(1, *data.shape[1:]), fletcher32=True)
        file["mask"] = lines().numpy()
    return tmp_path / "scan.h5"


def written(path: Path) -> np.ndarray:
    return np.asarray(np.load(path)["image"])


def covered(output: Path) -> set[int]:
    folder = RunFolder.beside(output.with_suffix(".run") / "slices.zarr")
    return set(read_receipts(folder.receipts)[0]) if folder.plan.is_file() else set()


def test_workers_one_of_them_killed_give_what_one_process_gives(
    scan: Path, tmp_path: Path, complex_weights: Path
) -> None:
    output = tmp_path / "out.npz"
    over, killed = threading.Event(), list[int]()
    with local_cluster(2, 2) as client:

        def kill() -> None:
            while not over.wait(0.01):
                if covered(output):
                    killed.append(next(iter(client.run(os.getpid).values())))
                    os.kill(killed[0], signal.SIGKILL)
                    return

        killer = threading.Thread(target=kill)
        killer.start()
        outcome = mri.reconstruct_to(
            mri.Scan(kspace=scan, weights=complex_weights), output, mri.Workers(client=client)
        )
        over.set()
        killer.join()
    assert killed and outcome.done == SLICES and not outcome.quarantined
    alone = mri.reconstruct(scan, weights=complex_weights)
    assert np.array_equal(written(output), alone.image)
    said = json.loads(str(np.load(output)["provenance"]))
    assert said["chi2"] == pytest.approx(alone.chi2, rel=1e-5)
    for name in ("method", "weights", "steps", "assumed", "input"):
        assert said[name] == alone.provenance[name]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.npz", "scan.h5"]


def test_slices_keep_what_was_measured_as_in_one_process(
    scan: Path, tmp_path: Path, complex_weights: Path
) -> None:
    asked = {"weights": complex_weights, "ensemble": True, "add_residual": True}
    mri.reconstruct_to(mri.Scan(kspace=scan, **asked), tmp_path / "out.npz")
    alone = mri.reconstruct(scan, **asked)
    assert np.array_equal(written(tmp_path / "out.npz"), alone.image)
    said = json.loads(str(np.load(tmp_path / "out.npz")["provenance"]))
    assert said["add_residual"] is True and said["ensemble"] == 8


def test_errors_of_slices_are_those_of_the_whole(
    scan: Path, tmp_path: Path, complex_weights: Path
) -> None:
    torch.manual_seed(0)
    config = RIMConfig(
        complex=True, steps=2, initial_iterations=3, fine=4, coarse=4, error_features=4
    )
    save_weights(RIM(config), tmp_path / "w.safetensors", {})
    cases: list[dict[str, Any]] = [
        {"weights": tmp_path / "w.safetensors", "error_map": "learned"},
        {"weights": tmp_path / "w.safetensors", "error_map": "learned", "sets": 2},
        {"method": "cg-sense", "iterations": 3, "error_map": 2, "add_residual": True},
    ]
    for case in cases:
        alone = mri.reconstruct(scan, **case)
        assert alone.uncertainty is not None
        mri.reconstruct_to(mri.Scan(kspace=scan, **case), tmp_path / "out.npz", overwrite=True)
        assert np.array_equal(np.load(tmp_path / "out.npz")["uncertainty"], alone.uncertainty)
        assert np.array_equal(written(tmp_path / "out.npz"), alone.image)
    # a format without a place for it has a file beside it
    options = ["--method", "cg-sense", "--error-map", "2", "--workers", "1"]
    given = ["recon", str(scan), "-o", str(tmp_path / "told.nii.gz"), *options]
    told = CliRunner().invoke(app, given)
    assert told.exit_code == 0 and "told_error.nii.gz" in told.stdout, told.output
    mri.reconstruct_to(mri.Scan(kspace=scan, **cases[-1]), tmp_path / "out.nii.gz")
    import nibabel

    volume = np.asarray(nibabel.load(tmp_path / "out_error.nii.gz").dataobj).transpose(2, 1, 0)
    assert np.array_equal(volume, np.asarray(alone.uncertainty))
    with pytest.raises(OptionError, match="out_error"):
        (tmp_path / "out.nii.gz").unlink()
        mri.reconstruct_to(mri.Scan(kspace=scan, **cases[-1]), tmp_path / "out.nii.gz")


def test_errors_that_nobody_can_tell_are_refused_at_once(
    scan: Path, tmp_path: Path, complex_weights: Path
) -> None:
    with pytest.raises(OptionError, match="tell no error"):
        mri.Scan(kspace=scan, weights=complex_weights, error_map="learned")
    with pytest.raises(OptionError, match="tells no error"):
        mri.Scan(kspace=scan, method="cg-sense", error_map="learned")
    with pytest.raises(OptionError, match="not learned"):
        mri.Scan(kspace=scan, error_map="learned", add_residual=True)
    with pytest.raises(OptionError, match="2 or more"):
        mri.Scan(kspace=scan, method="cg-sense", error_map=1)
    asked = mri.Scan(kspace=scan, method="cg-sense", error_map=2)
    with pytest.raises(FormatError, match="holds no error map"):
        mri.reconstruct_to(asked, tmp_path / "out.cfl")
    assert not (tmp_path / "out.run").exists()


def test_a_killed_client_is_resumed_and_nothing_is_done_twice(
    scan: Path, tmp_path: Path, complex_weights: Path
) -> None:
    output = tmp_path / "out.npz"
    options = [str(scan), "-o", str(output), "--weights", str(complex_weights)]
    command = [sys.executable, "-m", "rimaging", "recon", *options]
    process = subprocess.Popen(
        [*command, "--resume"],
        stderr=subprocess.DEVNULL,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    end = time.monotonic() + 120
    while len(covered(output)) < 2 and process.poll() is None:
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.002)
    process.kill()
    process.wait()
    safe = covered(output)
    assert 2 <= len(safe) < SLICES and not output.exists()
    with pytest.raises(OptionError, match="--resume goes on"):
        mri.reconstruct_to(mri.Scan(kspace=scan, weights=complex_weights), output)
    changed = mri.Scan(kspace=scan, weights=complex_weights, noise=0.1)
    with pytest.raises(OptionError, match=r"noise was None, is 0\.1"):
        mri.reconstruct_to(changed, output, resume=True)
    outcome = mri.reconstruct_to(
        mri.Scan(kspace=scan, weights=complex_weights), output, resume=True
    )
    assert outcome.resumed == len(safe) and outcome.done == SLICES - len(safe)
    assert np.array_equal(written(output), mri.reconstruct(scan, weights=complex_weights).image)


@pytest.mark.parametrize("given", ["file", "array"])
def test_slices_share_the_noise_of_their_coils(
    scan: Path, tmp_path: Path, complex_weights: Path, given: str
) -> None:
    sigma = SIGMA * torch.tensor([0.5, 1.0, 2.0, 1.0])[:, None, None]
    source = scan if given == "file" else kspace()
    whole = mri.reconstruct(source, noise=sigma, weights=complex_weights)
    output = tmp_path / "out.npz"
    job = mri.Scan(kspace=source, noise=sigma, weights=complex_weights)
    mri.reconstruct_to(job, output)
    assert np.array_equal(written(output), np.asarray(whole.image))
    plain = mri.reconstruct(source, noise=SIGMA, weights=complex_weights)
    assert not np.array_equal(np.asarray(plain.image), np.asarray(whole.image))


def test_a_corrupt_slice_is_put_aside_and_the_others_done(scan: Path, tmp_path: Path) -> None:
    whole = mri.reconstruct(scan, noise=SIGMA, method="cg-sense").image
    with h5py.File(scan, "r") as file:
        start = file["kspace"].id.get_chunk_info(2).byte_offset
    with scan.open("r+b") as file:
        file.seek(start + 1000)
        byte = file.read(1)[0]
        file.seek(start + 1000)
        file.write(bytes([byte ^ 4]))
    output = tmp_path / "out.npz"
    options = ["recon", str(scan), "-o", str(output), "--method", "cg-sense"]
    options += ["--noise", str(SIGMA), "--resume"]
    result = CliRunner().invoke(app, options)
    assert result.exit_code == 1 and not output.exists()
    assert "unit 2 failed three times" in result.stderr and "damaged" in result.stderr
    assert covered(output) == {0, 1, 3, 4, 5}
    result = CliRunner().invoke(app, [*options, "--allow-missing"])
    assert result.exit_code == 1 and output.is_file()  # the slice was asked for once more
    image = written(output)
    assert np.isnan(image[2]).all()
    assert np.array_equal(np.delete(image, 2, 0), np.delete(whole, 2, 0))


def test_a_fastmri_file_is_never_read_whole(
    scan: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("the whole file was read")

    whole = mri.reconstruct(scan, method="cg-sense")
    monkeypatch.setattr("rimaging.mri.front.as_measurement", refuse)
    done = mri.reconstruct_to(mri.Scan(kspace=scan, method="cg-sense"), tmp_path / "out.nii.gz")
    import nibabel

    volume = np.asarray(nibabel.load(tmp_path / "out.nii.gz").dataobj).transpose(2, 1, 0)
    assert np.array_equal(volume, np.abs(whole.image))
    assert done.lost == tuple(losses(tmp_path / "out.nii.gz", whole.image, whole.measurement))
    assert done.chi2 == pytest.approx(whole.chi2, rel=1e-5)


SPOKES = radial((SIZE, SIZE), 24, 48)
STAGED = {
    "a film": {"kspace": kspace(3), "frames": True},
    "films of slices": {"kspace": torch.stack([kspace(2), kspace(2)]), "frames": True},
    "one slice": {"kspace": kspace(1)[0]},
    "maps of each": {"kspace": kspace(2), "maps": coil_maps().expand(2, -1, -1, -1)},
    "two sets": {"kspace": kspace(2), "sets": 2},
    "masks of each": {"kspace": kspace(2), "mask": lines().expand(2, SIZE, SIZE).clone()},
    "sigma of each": {"kspace": kspace(2), "noise": SIGMA * torch.ones(2, 4, 1, 1)},
}


@pytest.mark.parametrize("case", STAGED)
def test_arrays_and_other_files_are_staged(case: str, tmp_path: Path) -> None:
    given = {"method": "cg-sense", "iterations": 5, **STAGED[case]}
    alone = mri.reconstruct(given.pop("kspace"), **given)
    outcome = mri.reconstruct_to(
        mri.Scan(kspace=STAGED[case]["kspace"], **given), tmp_path / "out.npz"
    )
    image = written(tmp_path / "out.npz")
    assert outcome.done == np.prod(image.shape[:-2])
    assert np.array_equal(image, np.asarray(alone.image))


@pytest.mark.parametrize(
    "given",
    [
        {"method": "cg-sense"},
        {"method": "tv", "iterations": 5},
        {"method": "cg-sense", "add_residual": True},
        {},
    ],
)
def test_a_slice_of_air_that_no_coil_sees_is_a_slice_like_others(
    given: dict[str, Any], tmp_path: Path, complex_weights: Path
) -> None:
    maps = coil_maps().repeat(3, 1, 1, 1)
    maps[0] = 0
    asked = {"maps": maps, "weights": complex_weights, **given}
    alone = mri.reconstruct(kspace(3), **asked)
    mri.reconstruct_to(mri.Scan(kspace=kspace(3), **asked), tmp_path / "out.npz")
    image = written(tmp_path / "out.npz")
    assert np.isfinite(image).all()
    assert np.array_equal(image, np.asarray(alone.image))
    with pytest.raises(DataError, match="maps are zero everywhere"):
        mri.reconstruct_to(
            mri.Scan(kspace=kspace(3), **{**asked, "maps": 0 * maps}), tmp_path / "no.npz"
        )
    with pytest.raises(DataError, match="maps are zero everywhere"):
        mri.reconstruct(kspace(3), **{**asked, "maps": 0 * maps})


def test_spokes_are_staged_with_their_trajectory(tmp_path: Path) -> None:
    samples = noisy(NonCartesianMRI(coil_maps(), SPOKES)(images(2)))
    np.savez(tmp_path / "spokes.npz", ksp=samples, coord=SPOKES, image_shape=[SIZE, SIZE])
    given = {"method": "cg-sense", "iterations": 5}
    alone = mri.reconstruct(tmp_path / "spokes.npz", **given)  # type: ignore[arg-type]
    scan = mri.Scan(kspace=tmp_path / "spokes.npz", **given)  # type: ignore[arg-type]
    mri.reconstruct_to(scan, tmp_path / "out.npz")
    assert np.array_equal(written(tmp_path / "out.npz"), alone.image)
    kept = mri.Scan(kspace=tmp_path / "spokes.npz", add_residual=True, **given)  # type: ignore[arg-type]
    mri.reconstruct_to(kept, tmp_path / "kept.npz")
    same = mri.reconstruct(tmp_path / "spokes.npz", add_residual=True, **given)  # type: ignore[arg-type]
    assert np.array_equal(written(tmp_path / "kept.npz"), same.image)


def test_what_cannot_be_is_refused_before_anything_is_read(scan: Path, tmp_path: Path) -> None:
    asked = mri.Scan(kspace=scan, method="cg-sense")
    public = mri.Workers(scheduler="tcp://8.8.8.8:8786")
    with pytest.raises(OptionError, match="public address"):
        mri.reconstruct_to(asked, tmp_path / "out.npz", public)
    (tmp_path / "out.npz").touch()
    with pytest.raises(OptionError, match="exists"):
        mri.reconstruct_to(asked, tmp_path / "out.npz")
    with pytest.raises(FormatError, match="no slice positions"):
        mri.reconstruct_to(asked, f"{tmp_path}/dicom/")
    with pytest.raises(OptionError, match="choose"):
        mri.Scan(kspace=scan, method="magic")  # type: ignore[arg-type]


def test_a_folder_that_is_no_run_of_slices_is_left_alone(scan: Path, tmp_path: Path) -> None:
    own = tmp_path / "out.run" / "raw" / "data.bin"
    own.parent.mkdir(parents=True)
    own.write_bytes(b"irreplaceable")
    for source in (scan, tmp_path / "absent.h5"):
        asked = mri.Scan(kspace=source, method="zero-filled")
        for more in ({}, {"overwrite": True}, {"resume": True}):
            with pytest.raises(OptionError, match=r"no folder of a run of slices \(it holds raw\)"):
                mri.reconstruct_to(asked, tmp_path / "out.npz", **more)
    assert own.read_bytes() == b"irreplaceable"


def test_going_on_finds_a_scan_that_moved_and_replaces_nothing(scan: Path, tmp_path: Path) -> None:
    class Stop(Exception):
        pass

    def stop(progress: object, _: str) -> None:
        raise Stop

    output = tmp_path / "out.npz"
    asked = mri.Scan(kspace=scan, method="zero-filled")
    mri.reconstruct_to(asked, tmp_path / "straight.npz")
    with pytest.raises(Stop):
        mri.reconstruct_to(asked, output, report=stop)
    moved = scan.rename(tmp_path / "moved.h5")
    scan.write_bytes(b"another file at the old place")
    output.write_bytes(b"of somebody else")
    again = mri.Scan(kspace=moved, method="zero-filled")
    with pytest.raises(OptionError, match="exists"):
        mri.reconstruct_to(again, output, resume=True)
    assert output.read_bytes() == b"of somebody else"
    output.unlink()
    assert mri.reconstruct_to(again, output, resume=True).resumed == 1
    assert np.array_equal(written(output), written(tmp_path / "straight.npz"))


def test_dicom_without_positions_is_refused_before_it_is_computed(
    scan: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rimaging.mri.reconstruct", None)
    result = CliRunner().invoke(app, ["recon", str(scan), "-o", f"{tmp_path}/dicom/"])
    assert result.exit_code == 2 and "no slice positions" in result.stderr


def test_what_the_output_cannot_hold_is_refused_first_and_leaves_no_run(
    scan: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    computed = "what was not to be computed"
    monkeypatch.setattr("rimaging.mri.series.run", computed)
    monkeypatch.setattr("rimaging.mri.reconstruct", computed)
    before = set(tmp_path.iterdir())
    asked = mri.Scan(kspace=scan, method="zero-filled")
    with pytest.raises(FormatError, match=f"one slice, the scan has {SLICES}"):
        mri.reconstruct_to(asked, tmp_path / "out.png")
    for more in ([], ["--workers", "1"], ["--adapt", "9"]):
        given = ["recon", str(scan), "-o", str(tmp_path / "out.png"), *more]
        result = CliRunner().invoke(app, given)
        assert result.exit_code == 2 and "one slice" in result.stderr
    assert set(tmp_path.iterdir()) == before


def test_no_workers_are_refused(scan: Path, tmp_path: Path) -> None:
    given = ["recon", str(scan), "-o", str(tmp_path / "out.npz"), "--workers", "0"]
    result = CliRunner().invoke(app, given)
    assert result.exit_code == 2 and "0 workers" in result.stderr


def test_a_film_is_no_stack_of_slices(scan: Path, tmp_path: Path) -> None:
    import nibabel

    film = tmp_path / "film.npy"
    np.save(film, kspace(3).numpy())
    for more in ([], ["--workers", "1"]):
        output = tmp_path / f"film{len(more)}.nii.gz"
        given = ["recon", str(film), "-o", str(output), "--frames", "--method", "zero-filled"]
        result = CliRunner().invoke(app, [*given, "--error-map", "2", *more])
        assert result.exit_code == 0, result.stderr
        for path in (output, tmp_path / f"film{len(more)}_error.nii.gz"):
            assert nibabel.Nifti1Image.from_filename(path).shape == (SIZE, SIZE, 1, 3)
