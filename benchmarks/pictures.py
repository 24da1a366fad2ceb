"""Draw docs/pictures.md: every task on photographs that scikit-image ships and that may be shared.

    OMP_NUM_THREADS=1 python benchmarks/pictures.py

The camera (CC0) and the cat (CC0) of scikit-image, cut to a part; nothing of the test sets, whose
owners have not granted redistribution. Deep visualisation needs the weights of SqueezeNet among the
data (MIT). Four minutes on one core.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from rimaging import image
from rimaging.benchmark import features
from rimaging.datasets.data_card import data_root
from rimaging.datasets.simulate.features import centred, squeezenet_weights
from rimaging.datasets.simulate.kernels import camera_shake
from rimaging.operators.convolution import Convolution
from rimaging.operators.gaussian import Gaussian
from rimaging.operators.projection import RandomProjection
from rimaging.operators.resampling import Bicubic, enlarge
from rimaging.operators.squeezenet import SqueezeNet
from rimaging.reconstruction import Reconstruction
from rimaging.reports.figures import strip
from rimaging.reports.film import film
from rimaging.reports.metrics import psnr

DOCS = Path(__file__).resolve().parents[1] / "docs"
SIDE = 144


def main() -> None:
    from skimage import data

    camera = torch.from_numpy(data.camera()).float() / 255
    camera = camera[60 : 60 + SIDE, 180 : 180 + SIDE]
    cat = torch.from_numpy(data.chelsea()).float().movedim(-1, 0) / 255
    cat = cat[:, 60 : 60 + SIDE, 120 : 120 + SIDE]
    generator = torch.Generator().manual_seed(0)

    def noise(sigma: float, like: Tensor) -> Tensor:
        return sigma * torch.randn(like.shape, generator=generator)

    sections: list[tuple[str, str, dict[str, Tensor], Tensor]] = []

    noisy = camera + noise(25 / 255, camera)
    ours = image.denoise(noisy, 25 / 255, keep_steps=True)
    by_map = image.denoise(noisy, 25 / 255, method="map", lamda=0.9)
    sections.append(
        (
            "denoise",
            "Noise of sigma 25",
            {"noisy": noisy, "iterative MAP": found(by_map), label(ours): found(ours)},
            camera,
        )
    )
    steps = [torch.as_tensor(step) for step in ours.steps]
    write("film", film(steps, "image", reference=camera, before=noisy))

    colour = cat + noise(25 / 255, cat)
    ours = image.denoise(colour.movedim(0, -1), 25 / 255)
    sections.append(
        (
            "colour",
            "The same in colour",
            {"noisy": colour, label(ours): found(ours).movedim(-1, 0)},
            cat,
        )
    )

    kernel = camera_shake(generator, 19)
    blurred = Convolution(kernel, (SIDE, SIDE), "reflect")(camera)
    blurred = blurred + noise(2.55 / 255, blurred)
    ours = image.deblur(blurred, kernel, 2.55 / 255)
    tv = image.deblur(blurred, kernel, 2.55 / 255, method="tv", lamda=0.15)
    shown = {"shaken": blurred, "TV": found(tv), label(ours): found(ours)}
    sections.append(("deblur", "A shaken camera, noise of 1 %", shown, camera))

    lit = lights(camera)
    seen = Convolution(kernel, (SIDE, SIDE), "reflect")(lit)
    seen = (
        seen + 2 / 255 * torch.randn(seen.shape, generator=torch.Generator().manual_seed(1))
    ).clamp(0, 1)
    ours = image.deblur(seen, kernel, 2 / 255, clip=(0, 1))
    unaware = image.deblur(seen, kernel, 2 / 255)
    shown = {
        "shaken": seen,
        "white as data": found(unaware).clamp(0, 1),
        label(ours): found(ours).clamp(0, 1),
    }
    sections.append(("lights", "Lights beyond white", shown, lit.clamp(0, 1)))

    small = Bicubic((SIDE, SIDE), 3)(camera)
    ours = image.upscale(small, 3)
    shown = {"bicubic": enlarge(small, 3), label(ours): found(ours)}
    sections.append(("upscale", "Three times larger", shown, camera))

    known = (torch.rand(SIDE, SIDE, generator=generator) > 0.8).float()
    ours = image.inpaint(known * camera, known, 1 / 255)
    tv = image.inpaint(known * camera, known, 1 / 255, method="tv", lamda=0.3)
    shown = {"known": known * camera, "TV": found(tv), label(ours): found(ours)}
    sections.append(("inpaint", "Four fifths of the pixels missing", shown, camera))

    patch = camera[40:72, 40:72]
    sums = RandomProjection((32, 32), 410, "binary", 0)
    y = sums(patch) + noise(1 / 255, torch.empty(410))
    ours = image.restore(y, sums, 1 / 255)
    least = sums.adjoint(y)
    shown = {"adjoint": least, label(ours): found(ours)}
    sections.append(("projections", "410 random sums of 1024 pixels", shown, patch))

    shown, cat = inverted()
    sections.append(
        ("features", "Pictures from what a layer of SqueezeNet says of them", shown, cat)
    )

    lines = [
        "# Pictures",
        "",
        "    python benchmarks/pictures.py",
        "",
        "Drawn from scikit-image's camera and cat (both CC0), with the weights of this version.",
        "Below each picture: five times its error. PSNR in dB, peak 1, not clipped.",
        "",
    ]
    for name, title, pictures, truth in sections:
        write(name, strip(pictures, "image", truth))
        scores = ", ".join(f"{k} {psnr(truth, x, 1.0):.2f}" for k, x in pictures.items())
        lines += [f"## {title}", "", f"![{title}](images/{name}.png)", "", f"{scores} dB.", ""]
        print(f"{title}: {scores}", flush=True)
    lines += ["## The RIM in time", "", "![steps](images/film.png)", ""]
    lines += ["`rimaging denoise photo.png -o out.png --sigma 25/255 --show-steps film.png`", ""]
    (DOCS / "pictures.md").write_text("\n".join(lines), encoding="utf-8")


def lights(scene: Tensor) -> Tensor:
    """The scene with discs that are two to six times as bright as white."""
    rows, columns = torch.meshgrid(torch.arange(SIDE), torch.arange(SIDE), indexing="ij")
    for row, column, radius, level in (
        (25, 30, 2.5, 6),
        (60, 110, 1.5, 4),
        (100, 40, 2, 2),
        (120, 120, 3, 5),
    ):
        disc = torch.hypot(rows - float(row), columns - float(column)) < radius
        scene = torch.where(disc, torch.tensor(float(level)), scene)
    return scene


def inverted() -> tuple[dict[str, Tensor], Tensor]:
    """The cat from its features at two depths: by gradient descent, and by the RIM."""
    from skimage import data

    cat = features.square(torch.from_numpy(data.chelsea()).movedim(-1, 0) / 255)
    weights = squeezenet_weights(data_root())
    _, _, recurrent = features.ours("features")
    shown = {}
    for layer in ("fire3", "fire7"):
        operator = SqueezeNet(weights, layer, cat.shape[-2:])
        case = Gaussian(operator, operator(centred(cat)), features.SIGMA)
        rate = min(features.RATES, key=lambda r: features.short_descent(case, r))
        descent = features.descend(case, rate, features.DESCENT)
        shown[f"{layer}, 500 of descent"] = features.visible(descent)
        shown[f"{layer}, RIM"] = features.visible(recurrent(case))
    return shown, cat


def label(result: Reconstruction) -> str:
    """How the image was made."""
    return "RIM" if result.provenance["method"] == "rim" else "RIM, plug-and-play"


def found(result: Reconstruction) -> Tensor:
    return torch.as_tensor(result.image)


def write(name: str, picture: bytes) -> None:
    folder = DOCS / "images"
    folder.mkdir(exist_ok=True)
    (folder / f"{name}.png").write_bytes(picture)


if __name__ == "__main__":
    main()
