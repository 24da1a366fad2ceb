"""A check of the installation: what is here, what is missing, and what to do about it."""

from __future__ import annotations

import math
import os
import platform
import re
import shutil
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from rimaging import __version__
from rimaging.datasets.data_card import data_root
from rimaging.errors import FormatError, RimagingError
from rimaging.memory import available
from rimaging.operators.cartesian import CartesianMRI
from rimaging.operators.convolution import Convolution
from rimaging.operators.gaussian import Gaussian
from rimaging.operators.identity import Identity
from rimaging.operators.linear_operator import LinearOperator
from rimaging.rim.rim import RIM
from rimaging.rim.weights import load_weights, shipped

EXPECTED = ("astro", "image", "mri")
SHOWN = ("torch", "numpy", "scipy", "astropy", "h5py", "nibabel", "sigpy", "scikit-image")
REQUIREMENT = re.compile(r"([\w.-]+)>=([\d.]+)(?:.*extra == ['\"](\w+)['\"])?")
"""Name, oldest version and extra, as the metadata of an installation have them."""
SIDE = 32
GIB = 2**30


class Finding(NamedTuple):
    """One line of the check; advice says how to repair what is not well."""

    name: str
    level: Literal["ok", "note", "error"]
    text: str
    advice: str = ""


def main() -> bool:
    """Print every finding; True where nothing is broken."""
    from rich.console import Console
    from rich.markup import escape

    console = Console(highlight=False, soft_wrap=True)
    marks = {
        "ok": "[green]ok[/green]  ",
        "note": "[yellow]note[/yellow]",
        "error": "[red]BAD[/red] ",
    }
    well = True
    for finding in findings():
        console.print(f"{marks[finding.level]}  {finding.name:<10}  {escape(finding.text)}")
        if finding.advice:
            console.print(f"      {'':<10}  -> {escape(finding.advice)}")
        well = well and finding.level != "error"
    return well


def findings() -> Iterator[Finding]:
    """Look at versions, devices, memory, disk, data and weights, one after the other."""
    yield Finding(
        "rimaging", "ok", f"{__version__}, Python {platform.python_version()}, {platform.system()}"
    )
    yield from _libraries()
    yield _devices()
    yield _memory()
    yield _disk()
    yield _data()
    yield from _weights()


def _libraries() -> Iterator[Finding]:
    """What `pyproject.toml` asks for: all of it in versions that will do, and the extras."""
    try:
        wanted = [REQUIREMENT.match(text) for text in requires("rimaging") or ()]
    except PackageNotFoundError:
        text = "rimaging runs uninstalled: nothing here says which versions it needs"
        yield Finding("libraries", "note", text, "pip install .")
        return
    wrong, absent = {}, {}
    for name, oldest, extra in (match.groups() for match in wanted if match):
        found = _version(name)
        if extra is None and (found is None or _release(found) < _release(oldest)):
            wrong[f"{name}>={oldest}"] = f"{name} {found or 'is missing'}"
        elif found is None and extra not in (None, "dev"):
            absent[name] = extra
    if wrong:
        advice = "pip install " + " ".join(f"'{text}'" for text in wrong)
        yield Finding("libraries", "error", ", ".join(wrong.values()), advice)
    else:
        yield Finding("libraries", "ok", ", ".join(f"{name} {_version(name)}" for name in SHOWN))
    if absent:
        advice = f"where wanted: pip install 'rimaging[{','.join(dict.fromkeys(absent.values()))}]'"
        yield Finding("extras", "note", f"without {', '.join(absent)}", advice)
    else:
        yield Finding("extras", "ok", "all of them")


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _release(text: str) -> tuple[int, ...]:
    """The numbers of a version before any suffix."""
    release = re.match(r"[\d.]*", text)
    return tuple(
        int(number) for number in (release.group() if release else "").split(".") if number
    )


def _devices() -> Finding:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    text = f"threads {torch.get_num_threads()}, cores {cores}"
    if not torch.cuda.is_available():
        return Finding("devices", "ok", f"{text}; no GPU")
    names = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    return Finding("devices", "ok", f"{text}; GPU: {', '.join(names)}")


def _memory() -> Finding:
    free = available()
    if math.isinf(free):
        return Finding("memory", "note", "free memory is unknown on this system")
    text = f"{free / GIB:.1f} GiB free"
    if free < 2 * GIB:
        return Finding("memory", "note", text, "close other programs; large images need more")
    return Finding("memory", "ok", text)


def _disk() -> Finding:
    try:
        free = shutil.disk_usage(Path.cwd()).free
    except OSError as error:
        return Finding("disk", "note", f"this folder cannot be looked at ({error.strerror})")
    text = f"{free / GIB:.1f} GiB free in this folder"
    if free < GIB:
        return Finding("disk", "note", text, "make room before large runs: they stop when it fills")
    return Finding("disk", "ok", text)


def _data() -> Finding:
    try:
        return Finding("data", "ok", str(data_root()))
    except FormatError as error:
        return Finding("data", "note", str(error), "needed for training and benchmarks only")


def _weights() -> Iterator[Finding]:
    known = shipped()
    for name in sorted({*known, *EXPECTED}):
        label = f"weights {name}"
        if name not in known:
            advice = "reinstall rimaging from its wheel, or train: rimaging train --help"
            yield Finding(label, "error", "not in this installation", advice)
            continue
        try:
            rim, card = load_weights(name)
            reason = self_test(rim)
        except RimagingError as error:
            yield Finding(label, "error", str(error), "reinstall rimaging from its wheel")
            continue
        text = f"{card['parameters']:,} values, sha256 {card['sha256'][:16]}"
        if reason:
            yield Finding(label, "error", f"{text}: {reason}", "reinstall rimaging from its wheel")
        else:
            yield Finding(label, "ok", f"{text}, self-test of {SIDE} x {SIDE} pixels passed")


def self_test(rim: RIM) -> str:
    """What is wrong with weights on a small scene with noise, or nothing.

    The estimate must be finite, the same twice, and double when data and noise double.
    """
    likelihood, double = (_likelihood(rim, scale) for scale in (1.0, 2.0))
    with torch.no_grad():
        first, again, doubled = rim(likelihood)[-1], rim(likelihood)[-1], rim(double)[-1]
    if not bool(torch.isfinite(first.abs()).all()):
        return "the estimate is not finite"
    if not torch.equal(first, again):
        return "the estimate differs from run to run"
    if not torch.allclose(doubled, 2 * first, rtol=1e-3, atol=1e-3 * float(first.abs().max())):
        return "twice the data do not give twice the estimate"
    return ""


def _likelihood(rim: RIM, scale: float) -> Gaussian:
    generator = torch.Generator().manual_seed(0)
    ramp = torch.linspace(-1, 1, SIDE)
    scene = scale * (torch.hypot(ramp[:, None], ramp) < 0.6).float()
    sigma = 0.05 * scale
    if rim.config.channels > 1:
        scene = scene.expand(rim.config.channels, SIDE, SIDE)
    operator: LinearOperator
    if rim.config.complex:
        maps = torch.stack((ramp[:, None] + 2 + 0j * ramp, ramp + 2 + 0j * ramp[:, None]))
        maps = maps / maps.abs().square().sum(dim=0).sqrt()
        mask = torch.ones(SIDE, SIDE)
        mask[:, ::3] = 0
        operator = CartesianMRI(maps, mask)
        x: Tensor = scene.to(torch.complex64)
    elif rim.config.newton_iterations:
        psf = torch.exp(-(torch.linspace(-2, 2, 5) ** 2))
        operator = Convolution(psf[:, None] * psf / psf.sum() ** 2, scene.shape, "reflect")
        x = scene
    else:
        operator, x = Identity(tuple(scene.shape), torch.float32), scene
    y = operator(x)
    noise = torch.randn(y.shape, dtype=y.dtype, generator=generator)
    return Gaussian(operator, y + sigma * noise, sigma)
