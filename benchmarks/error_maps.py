"""Print how often the truth lies within the error map: the learned one, and that of repetitions.

    python benchmarks/error_maps.py

Draws of the test split (no image of it was trained on) by the cards of the error heads, with their
truth. Asked: 68.3 % of the pixels within one error of the map, 95 % within 1.96. "Light": where the
truth is above one sigma of the noise. Then the real brain, whose reference has noise of its own:
there the error of the map and sigma add up. With --picture draws docs/images/error-map.png instead:
the Hubble Deep Field of scikit-image (public domain) as the sky.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from pathlib import Path

import torch
from torch import Tensor

from rimaging import astro
from rimaging.benchmark import scans
from rimaging.datasets.data_card import data_root
from rimaging.datasets.kspace_noise import estimate_kspace_noise
from rimaging.datasets.measurement import Measurement
from rimaging.datasets.operator_card import load_operator_card
from rimaging.experiment import sampler
from rimaging.operators.convolution import Convolution
from rimaging.operators.fourier import centred_ifft
from rimaging.operators.likelihood import Likelihood
from rimaging.operators.target import gaussian_psf, relative_kernel
from rimaging.reports.canvas import figure_of, png
from rimaging.reports.scales import plane
from rimaging.rim.coverage import SHARES, distances
from rimaging.rim.rim import RIM
from rimaging.rim.weights import load_weights
from rimaging.uncertainty import Bootstrap, error_map_of
from rimaging.validate.coverage import MEDIAN

CARDS = {"astro": "sky-error", "mri": "mri-error"}
SIDES = {"astro": 96, "mri": 128}
BATCH = 2
LAST = -1
PICTURE = Path(__file__).resolve().parents[1] / "docs" / "images" / "error-map.png"
PSF, SIGMA, SIDE = "moffat:4", 3.0, 192


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--draws", type=int, default=24, help="batches of two images")
    parser.add_argument("--repetitions", type=int, default=8)
    parser.add_argument("--picture", action="store_true")
    given = parser.parse_args()
    if given.picture:
        PICTURE.write_bytes(picture(given.repetitions))
        return
    print("| weights | error map | pixels | within 1 | within 1.96 | error / map |")
    print("| --- | --- | --- | ---: | ---: | ---: |")
    for name, card in CARDS.items():
        rim = load_weights(name)[0]
        sample = sampler(load_operator_card(card), data_root(), "test")
        generator = torch.Generator().manual_seed(0)
        drawn = [sample(generator, BATCH, SIDES[name]) for _ in range(given.draws)]
        found: defaultdict[tuple[str, str], list[Tensor]] = defaultdict(list)
        for likelihood, truth in drawn:
            for method, ratios in _ratios(rim, likelihood, truth, given.repetitions).items():
                seen = (likelihood.information() > 0).expand(truth.shape)
                light = seen & (truth.abs() > likelihood.noise_scale)
                found[method, "all"].append(ratios[..., seen].flatten())
                found[method, "light"].append(ratios[..., light].flatten())
        for (method, pixels), some in found.items():
            print(_row(name, method, pixels, torch.cat(some)))
    for pattern in scans.PATTERNS:
        print(_row("mri", "learned", f"real brain, {pattern}", _brain(pattern)))


@torch.inference_mode()
def _ratios(rim: RIM, likelihood: Likelihood, truth: Tensor, repetitions: int) -> dict[str, Tensor]:
    """``|x - truth| / error`` of each map, ``([part,] *truth.shape)``."""
    found = rim(likelihood)
    x, scale = found[LAST], likelihood.noise_scale
    off = distances(likelihood, x, truth, rim.config.error_residual).abs() * scale
    off = off.movedim(1, 0) if x.is_complex() else off
    told = rim.error(likelihood, found)
    how = Bootstrap(repetitions)
    repeated = error_map_of(likelihood, x, lambda again: rim(again)[LAST], how)
    names = ("learned", "learned, residual put back")
    ratios = {name: o / e for name, o, e in zip(names, off, told, strict=False)}
    return {**ratios, f"{repetitions} repetitions": off[0] / repeated}


def _brain(pattern: str) -> Tensor:
    """The same of a real brain, whose reference has noise that an error of the object has not."""
    scan = scans.real(data_root(), pattern, 2)
    rim = load_weights("mri")[0]
    sigma = estimate_kspace_noise(scan.kspace * scan.mask, scan.mask)
    measurement = Measurement(
        kind="kspace", data=scan.kspace * scan.mask, mask=scan.mask, maps=scan.maps, noise=sigma
    )
    likelihood = measurement.likelihood(sets=True)
    with torch.inference_mode():
        found = rim(likelihood)
        error = rim.error(likelihood, found)[0]
    reference = (scan.maps.conj() * centred_ifft(scan.kspace)).sum(dim=-3)
    norm = scan.maps.abs().square().sum(dim=-3)
    both = (error.square() + sigma**2 * norm).sqrt()
    ratios = torch.view_as_real(found[LAST] - reference).abs() / both[..., None]
    return ratios[norm > 0].flatten()


def picture(repetitions: int) -> bytes:
    """A sky, how far its estimate is off, and what both error maps say of that."""
    from matplotlib.colors import LogNorm
    from skimage import data

    field = torch.from_numpy(data.hubble_deep_field().mean(-1).astype("float32"))
    field = field[400:, 120:][:SIDE, :SIDE].contiguous()
    # Its own noise is no sky: only what stands out of it is taken for the truth.
    smooth = Convolution(gaussian_psf(astro.TARGET), (SIDE, SIDE), "reflect")(field)
    truth = (smooth - smooth.median() - SIGMA).clamp_min(0)
    kernel = relative_kernel(astro.as_psf(PSF), astro.TARGET)
    noise = torch.randn(truth.shape, generator=torch.Generator().manual_seed(0))
    seen = Convolution(kernel, (SIDE, SIDE), "reflect")(truth) + SIGMA * noise
    found = astro.deconvolve(seen, PSF, SIGMA)
    again = astro.deconvolve(seen, PSF, SIGMA, error_map=repetitions)
    x, learned, repeated = (
        torch.as_tensor(array) for array in (found.image, found.uncertainty, again.uncertainty)
    )
    errors = {
        "|estimate - truth|": (x - truth).abs(),
        "error map, as the weights tell it": learned,
        f"error map, {repetitions} repetitions": repeated,
    }
    with figure_of(1, 4, (9.6, 2.6)) as (figure, (axes,)):
        axes[0].imshow(plane(x, "sky"), cmap="gray")
        axes[0].set_title("estimate")
        for axis, (name, values) in zip(axes[1:], errors.items(), strict=True):
            norm = LogNorm(0.3, 30)
            shown = axis.imshow(values.flip(0).clamp_min(0.3), cmap="magma", norm=norm)
            axis.set_title(name)
        for axis in axes:
            axis.set(xticks=[], yticks=[])
        figure.colorbar(shown, ax=list(axes), fraction=0.02, pad=0.01)
        return png(figure)


def _row(name: str, method: str, pixels: str, ratios: Tensor) -> str:
    shares = " | ".join(f"{float((ratios <= bound).double().mean()):.1%}" for bound in SHARES)
    typical = float(ratios.median()) / MEDIAN
    return f"| `{name}` | {method} | {pixels} | {shares} | {typical:.2f} |"


if __name__ == "__main__":
    main()
