from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image
from typer.testing import CliRunner, Result

import rimaging
from rimaging.cli import app
from rimaging.rim import weights
from rimaging.rim.config import RIMConfig
from rimaging.rim.rim import RIM
from rimaging.rim.weights import save_weights

COMMANDS = (
    "recon",
    "deconvolve",
    "plan",
    "verify",
    "denoise",
    "upscale",
    "restore",
    "train",
    "weights",
    "inspect",
    "demo",
    "doctor",
    "benchmark",
    "validate",
    "psf",
)


@pytest.fixture(autouse=True)
def shipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Small untrained weights under the names of those that ship."""
    folder = tmp_path / "weights"
    monkeypatch.setattr(weights, "SHIPPED", folder)
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    for name, config in {
        "mri": RIMConfig(complex=True, steps=2, fine=4, coarse=4),
        "astro": RIMConfig(steps=2, fine=4, coarse=4, chebyshev=True),
        "image": RIMConfig(steps=2, fine=4, coarse=4),
        "image-any": RIMConfig(steps=2, fine=4, coarse=4),
        "deblur": RIMConfig(steps=2, fine=4, coarse=4),
        "inpainting": RIMConfig(steps=2, fine=4, coarse=4),
        "super-resolution": RIMConfig(steps=2, fine=4, coarse=4),
        "three": RIMConfig(steps=2, fine=4, coarse=4, channels=3),
    }.items():
        card: dict[str, object] = {"title": f"test of {name}"}
        if name == "image-any":
            card |= {"operators": ["convolution", "bicubic", "sampling"]}
        save_weights(RIM(config), folder / f"{name}.safetensors", card)


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    random = np.random.default_rng(0)
    path = tmp_path / "photo.png"
    Image.fromarray(random.integers(0, 256, (24, 20), dtype=np.uint8)).save(path)
    return path


@pytest.fixture
def kspace(tmp_path: Path) -> Path:
    random = np.random.default_rng(0)
    k = random.normal(size=(2, 24, 20)) + 1j * random.normal(size=(2, 24, 20))
    maps = np.full((2, 24, 20), 0.5**0.5, dtype=np.complex64)
    path = tmp_path / "scan.npz"
    np.savez(path, kspace=k.astype(np.complex64), maps=maps, noise=np.float32(0.1))
    return path


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def refused(result: Result, words: str) -> None:
    """One line on stderr, exit 2, no traceback."""
    assert result.exit_code == 2, result.output
    (line,) = result.stderr.splitlines()
    assert line.startswith("rimaging: error: ")
    assert words in line


def test_help_names_every_command() -> None:
    text = run("--help").output
    for command in COMMANDS:
        assert f"\n  {command} " in text
        assert run(command, "--help").exit_code == 0


@pytest.mark.parametrize(("policy", "spins"), [(None, "1000"), ("ACTIVE", None)])
def test_threads_of_the_command_line_wait_briefly_unless_told_how(
    policy: str | None, spins: str | None
) -> None:
    names = ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")
    told = {name: value for name, value in os.environ.items() if name not in names}
    told |= {} if policy is None else {"OMP_WAIT_POLICY": policy}
    script = (
        "import atexit, os, sys; from rimaging.cli import main; "
        "atexit.register(lambda: print(os.environ.get('GOMP_SPINCOUNT'), 'torch' in sys.modules)); "
        "sys.argv = ['rimaging', '--version']; main()"
    )
    answer = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, env=told
    )
    assert answer.stdout.splitlines()[-1] == f"{spins} False"


def test_the_version_is_told() -> None:
    result = run("--version")
    assert result.exit_code == 0
    assert result.output == f"rimaging {rimaging.__version__}\n"


def test_help_takes_less_than_half_a_second_of_cpu() -> None:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-m", "rimaging", "--help"], check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 0.5


@pytest.mark.parametrize("name", ["out.nii.gz", "out.h5", "out.npz", "out.png"])
def test_recon_writes_the_format_of_the_suffix(kspace: Path, tmp_path: Path, name: str) -> None:
    result = run("recon", kspace, "-o", tmp_path / name, "--report", tmp_path / "r.html")
    assert result.exit_code == 0, result.output
    assert (tmp_path / name).stat().st_size > 0
    assert "<html" in (tmp_path / "r.html").read_text()


@pytest.mark.parametrize(
    ("shape", "photometric", "words"),
    [((8, 9, 3), "rgb", "colour of 16 bits"), ((5, 8, 9), "minisblack", "5 images")],
)
def test_what_png_cannot_hold_is_refused_at_once(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    shape: tuple[int, ...],
    photometric: Literal["rgb", "minisblack"],
    words: str,
) -> None:
    def never(*_: object, **__: object) -> None:
        raise AssertionError("computed")

    values = np.random.default_rng(0).integers(0, 2**16, shape, np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", values, photometric=photometric)
    monkeypatch.setattr("rimaging.image.denoise", never)
    refused(run("denoise", tmp_path / "a.tif", "-o", tmp_path / "b.png"), words)


def test_recon_takes_mask_maps_and_noise_from_files(tmp_path: Path, kspace: Path) -> None:
    with np.load(kspace) as arrays:
        mask = np.ones((24, 20), dtype=np.float32)
        mask[:, ::3] = 0
        np.save(tmp_path / "k.npy", arrays["kspace"] * mask)
        np.savez(tmp_path / "maps.npz", maps=arrays["maps"], other=mask)
        np.save(tmp_path / "mask.npy", mask)
    options = ["--mask", "mask.npy", "--maps", "maps.npz", "--noise", "0.2"]
    for method in ("rim", "zero-filled"):
        result = run("recon", "k.npy", "-o", f"{method}.npz", *options, "--method", method)
        assert result.exit_code == 0, result.output
    refused(run("recon", "k.npy", "-o", "c.npz", *options, "--method", "magic"), "magic")
    refused(run("recon", "k.npy", "-o", "c.npz", "--maps", "absent.npz"), "absent.npz")


def test_companions_come_from_bart_matlab_and_hdf5_as_from_numpy(
    tmp_path: Path, kspace: Path
) -> None:
    import h5py
    from scipy.io import savemat

    from rimaging.datasets.bart import write_cfl

    with np.load(kspace) as arrays:
        maps, mask = arrays["maps"], np.ones((24, 20), np.float32)
        mask[:, ::3] = 0
        np.save(tmp_path / "k.npy", arrays["kspace"] * mask)
    np.save(tmp_path / "maps.npy", maps)
    np.save(tmp_path / "mask.npy", mask)
    write_cfl(tmp_path / "maps.cfl", maps[:, None])
    write_cfl(tmp_path / "mask.cfl", mask)
    savemat(tmp_path / "maps.mat", {"maps": maps.transpose(1, 2, 0)})
    savemat(tmp_path / "mask.mat", {"mask": mask})
    with h5py.File(tmp_path / "both.h5", "w") as file:
        file["maps"], file["mask"] = maps, mask
    given = {name: (f"maps.{name}", f"mask.{name}") for name in ("npy", "cfl", "mat")}
    images = {}
    for name, (smaps, where) in {**given, "h5": ("both.h5", "both.h5")}.items():
        options = ["--maps", smaps, "--mask", where, "--method", "zero-filled", "--noise", 1]
        result = run("recon", "k.npy", "-o", f"of_{name}.npy", *options)
        assert result.exit_code == 0, result.output
        images[name] = np.load(tmp_path / f"of_{name}.npy")
    assert all(np.array_equal(image, images["npy"]) for image in images.values())
    write_cfl(tmp_path / "no.cfl", mask * 1j)
    refused(run("recon", "k.npy", "-o", "n.npy", "--mask", "no.cfl"), "complex, expected 0 and 1")


def test_deconvolve_reads_an_extension_and_keeps_the_header(tmp_path: Path) -> None:
    from astropy.io import fits

    sky = np.random.default_rng(1).normal(1, 0.1, (32, 30)).astype(np.float32)
    primary = fits.PrimaryHDU()
    science = fits.ImageHDU(sky, name="SCI")
    science.header["BUNIT"] = "nJy"
    fits.HDUList([primary, fits.ImageHDU(sky * 0, name="OTHER"), science]).writeto("sky.fits")
    result = run("deconvolve", "sky.fits[SCI]", "-o", "out.fits", "--psf", "moffat:4.5:3")
    assert result.exit_code == 0, result.output
    with fits.open("out.fits") as hdus:
        assert any(hdu.header.get("BUNIT") == "nJy" for hdu in hdus)
    np.savez("psf.npz", psf=np.ones((5, 5), dtype=np.float32))
    again = ["deconvolve", "sky.fits[SCI]", "-o", "b.fits", "--psf", "psf.npz", "--target", "0"]
    assert run(*again, "--method", "wiener").exit_code == 0
    refused(run("deconvolve", "sky.fits[SCI]", "-o", "c.fits"), "PSF")
    refused(run("deconvolve", "sky.fits[NONE]", "-o", "c.fits", "--psf", "4"), "NONE")


@pytest.mark.parametrize("sigma", ["0.1", "25/255"])
def test_denoise(picture: Path, sigma: str) -> None:
    result = run("denoise", picture, "-o", "out.png", "--sigma", sigma)
    assert result.exit_code == 0, result.output
    with Image.open("out.png") as out:
        assert out.size == (20, 24)


def test_noise_that_is_overstated_is_warned_of(picture: Path) -> None:
    warned = run("denoise", picture, "-o", "a.png", "--sigma", "0.9", "--method", "rim")
    assert warned.exit_code == 0 and "the noise is overstated" in warned.stderr
    # of what was not stated, but taken to be small, nobody needs a warning
    small = run("upscale", picture, "-o", "b.png")
    assert small.exit_code == 0 and "overstated" not in small.stderr


def test_floats_come_out_of_tiff_as_floats_and_of_png_with_a_note(tmp_path: Path) -> None:
    import tifffile

    values = (5000 * np.random.default_rng(0).random((24, 20)) - 1000).astype(np.float32)
    tifffile.imwrite("f.tif", values)
    result = run("denoise", "f.tif", "-o", "o.tif", "--sigma", "100")
    assert result.exit_code == 0 and "note" not in result.stderr
    run("denoise", "f.tif", "-o", "o.npy", "--sigma", "100")
    out = tifffile.imread("o.tif")
    assert out.dtype == np.float32 and np.array_equal(out, np.load("o.npy"))
    low, high = np.quantile(out, [0.005, 0.995])
    assert low < 0 and high > 1000
    result = run("denoise", "f.tif", "-o", "o.png", "--sigma", "100")
    assert f"from {low:.4g} as black to {high:.4g} as white" in result.stderr


def test_no_output_is_another_or_an_input(picture: Path) -> None:
    given = ["denoise", picture, "--sigma", "0.1", "--overwrite"]
    Path("link.png").symlink_to(picture)
    Path("folder").mkdir()
    before = picture.read_bytes()
    for options in (
        ["-o", "link.png"],
        ["-o", "folder/../photo.png"],
        ["-o", "a.png", "--show-steps", picture],
        ["-o", "a.png", "--show-steps", "folder/../a.png"],
    ):
        refused(run(*given, *options), "choose another name")
    assert picture.read_bytes() == before and not Path("a.png").exists()
    result = run(*given, "-o", "a.png", "--show-steps", "b.png", "--report", "a.html")
    assert result.exit_code == 0, result.output


def test_a_kernel_in_colour_is_gray_or_refused(picture: Path) -> None:
    random = np.random.default_rng(1)
    gray = random.integers(1, 255, (5, 5), dtype=np.uint8)
    Image.fromarray(gray).save("gray.png")
    Image.fromarray(np.stack([gray] * 3, axis=-1)).save("same.png")
    Image.fromarray(random.integers(1, 255, (5, 5, 3), dtype=np.uint8)).save("colour.png")
    given = ["restore", picture, "--sigma", "0.1", "--kernel"]
    for name in ("gray", "same"):
        assert run(*given, f"{name}.png", "-o", f"{name}.npy").exit_code == 0
    assert np.array_equal(np.load("gray.npy"), np.load("same.npy"))
    refused(run(*given, "colour.png", "-o", "c.npy"), "expected gray")


def test_upscale_and_restore(picture: Path) -> None:
    result = run("upscale", picture, "-o", "large.png", "--scale", "2")
    assert result.exit_code == 0, result.output
    with Image.open("large.png") as out:
        assert out.size == (40, 48)
    noisy = ["upscale", picture, "-o", "noisy.npz", "--scale", "2", "--sigma", "30/255"]
    result = run(*noisy)
    assert result.exit_code == 0, result.output
    assert json.loads(str(np.load("noisy.npz")["provenance"]))["weights"]["name"] == "image-any"
    refused(run(*noisy[:-1], "much", "--overwrite"), "much")
    np.save("kernel.npy", np.full((3, 3), 1 / 9, dtype=np.float32))
    mask = np.full((24, 20), 255, dtype=np.uint8)
    mask[5:8] = 0
    Image.fromarray(mask).save("mask.png")
    for option in (["--kernel", "kernel.npy"], ["--mask", "mask.png"]):
        result = run("restore", picture, "-o", "r.npy", "--sigma", "2/255", "--overwrite", *option)
        assert result.exit_code == 0, result.output
        assert np.load("r.npy").shape == (24, 20)
    refused(run("restore", picture, "-o", "s.png", "--sigma", "0.1"), "--kernel")
    refused(run("restore", picture, "-o", "s.png", "--mask", "mask.png"), "--sigma")


def test_steps_are_drawn_and_methods_chosen(picture: Path, kspace: Path) -> None:
    drawn = ["--show-steps", "film.png", "--overwrite"]
    for command in (
        ["denoise", picture, "--sigma", "0.1"],
        ["denoise", picture, "--sigma", "0.1", "--ensemble"],
        ["denoise", picture, "--sigma", "0.1", "--method", "map", "--steps", "3"],
        ["recon", kspace],
    ):
        result = run(*command, "-o", "out.npz", *drawn)
        assert result.exit_code == 0, result.output
        assert Path("film.png").read_bytes().startswith(b"\x89PNG")
        Path("film.png").unlink()
    refused(run("denoise", picture, "-o", "b.npz", "--sigma", ".1", "--method", "x"), "tv")
    refused(run("denoise", picture, "-o", "b.npz", "--show-steps", "film.gif"), "suffix")


def test_what_exists_is_refused_before_anything_is_computed(picture: Path) -> None:
    Path("out.png").write_bytes(b"mine")
    refused(run("denoise", "absent.png", "-o", "out.png", "--sigma", "0.1"), "--overwrite")
    Path("r.html").write_text("mine")
    options = ("--sigma", "0.1", "--report", "r.html")
    refused(run("denoise", picture, "-o", "new.png", *options), "'r.html' exists")
    assert not Path("new.png").exists()
    assert Path("out.png").read_bytes() == b"mine"
    assert Path("r.html").read_text() == "mine"
    result = run("denoise", picture, "-o", "out.png", *options, "--overwrite")
    assert result.exit_code == 0, result.output
    assert Path("out.png").read_bytes() != b"mine"
    refused(run("denoise", picture, "-o", "none/out.png", "--sigma", "0.1"), "does not exist")
    refused(run("denoise", picture, "-o", "out.bmp", "--sigma", "0.1"), "suffix")
    refused(run("denoise", picture, "-o", "a.png", "--report", "a.pdf"), "suffix")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["denoise", "absent.png", "-o", "a.png", "--sigma", "0.1"], "absent.png"),
        (["denoise", "photo.png", "-o", "a.png", "--sigma", "0"], "noise"),
        (["denoise", "photo.png", "-o", "a.png", "--sigma", "-1"], "noise"),
        (["denoise", "photo.png", "-o", "a.png", "--sigma", "1/0"], "1/0"),
        (["denoise", "photo.png", "-o", "a.png", "--sigma", ".1", "--weights", "x"], "no weights"),
        (["recon", "photo.png", "-o", "a.png"], "image"),
        (["weights", "mir"], "no weights named"),
        (["weights", "model.pt"], "pickled"),
        (["inspect", "absent.h5"], "absent.h5"),
        (["train", "gray", "--out", "run"], "gray-denoise"),
        (["train", "mri-cartesian", "w2s", "--out", "run"], "does not read"),
        (["train", "gray-denoise", "--out", "run", "--batch", "0"], "batch"),
        (["benchmark", "mri", "--data", "absent"], "no folder"),
        (["benchmark", "mri", "--limit", "-1"], "1 or more"),
        (["benchmark", "mri", "--limit", "0"], "1 or more"),
        (["denoise", "photo.png", "-o", "a.png", "--sigma", "25"], "--sigma 25/255"),
        (["upscale", "photo.png", "-o", "a.png", "--sigma", "8"], "--sigma 8/255"),
        (["denoise", "photo.png", "-o", "a.png", "--show-steps", "./a.png"], "twice"),
        (["denoise", "photo.png", "-o", "a.png", "--weights", "three"], "colour, 3 channels"),
        (["denoise", "photo.png", "-o", "./photo.png", "--overwrite"], "'photo.png' is an input"),
    ],
)
def test_mistakes_are_one_line(picture: Path, arguments: list[str], words: str) -> None:
    Path("model.pt").write_bytes(b"\x80\x04.")
    before = set(Path.cwd().iterdir())
    refused(run(*arguments), words)
    assert set(Path.cwd().iterdir()) == before


def test_errors_of_the_file_system_are_one_line(
    picture: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from rimaging import image

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device", "/secret/folder/out.png")

    monkeypatch.setattr(image, "denoise", full)
    result = run("denoise", picture, "-o", "out.png", "--sigma", "0.1")
    refused(result, "out.png: No space left on device")
    assert "/secret" not in result.stderr


def test_a_defect_is_one_line_and_debug_shows_it(
    picture: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from rimaging import image

    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("first\nsecond")

    monkeypatch.setattr(image, "denoise", broken)
    arguments = ("denoise", picture, "-o", "out.png", "--sigma", "0.1")
    result = run(*arguments)
    assert result.exit_code == 1
    (line,) = result.stderr.splitlines()
    assert "ZeroDivisionError: first second" in line
    monkeypatch.setenv("RIMAGING_DEBUG", "1")
    assert isinstance(run(*arguments).exception, ZeroDivisionError)


def test_control_c_exits_130_in_silence(picture: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from rimaging import image

    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(image, "denoise", interrupted)
    result = run("denoise", picture, "-o", "out.png", "--sigma", "0.1")
    assert result.exit_code == 130
    assert result.stderr.splitlines() == ["rimaging: interrupted"]
    assert not Path("out.png").exists()


def test_weights_and_inspect_tell(picture: Path) -> None:
    listed = run("weights").output
    assert all(name in listed for name in ("astro", "image", "mri", "test of mri"))
    card = run("weights", "mri").output
    assert '"complex": true' in card
    assert '"sha256"' in card
    assert "rimaging denoise" in run("inspect", picture).output


def test_doctor_exits_1_where_something_is_broken(tmp_path: Path) -> None:
    assert run("doctor").exit_code == 0
    (tmp_path / "weights/mri.safetensors").unlink()
    assert run("doctor").exit_code == 1


def test_a_closed_pipe_leaves_no_traceback() -> None:
    command = f"{sys.executable} -m rimaging weights --help | head -c 1"
    done = subprocess.run(
        command, shell=True, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": ""}
    )
    assert "Traceback" not in done.stderr
