"""Print what estimates make of one star more: the share of its flux that they gain, by radius.

    python benchmarks/star_response.py [--weights NAME_OR_FILE ...]

Pairs of skies of the test split, 64 x 64, with the same noise, of which the second has a star of a
known significance more (`rimaging.datasets.simulate.sky`, ``extra``); the median over pairs of the
change of the estimate within a radius of the star, over that of the truth. Asked: 1.
"""

from __future__ import annotations

import argparse

import torch
from torch import Tensor

from rimaging.datasets.data_card import data_root
from rimaging.datasets.operator_card import load_operator_card
from rimaging.datasets.simulate.sky import Sky
from rimaging.rim.response import gained
from rimaging.rim.weights import load_weights

ALONE = {"stamp": 0.0, "field": 0.0, "nebula": 0.0, "photograph": 0.0}
SCENES = {
    "nothing else": ALONE,
    "40 sources": ALONE | {"field": 1.0, "sources": 40.0},
    "400 stars": ALONE | {"field": 1.0, "sources": 400.0, "stars": 1.0, "brightest": 1e3},
    "nebulae": ALONE | {"nebula": 1.0, "contrast": {"loguniform": [5.0, 50.0]}},
}
FIXED = {"poisson": 0.0, "boundary": "reflect", "galaxies": 60, "versions": 2, "pairs": 1.0}
SNR = (15.0, 30.0, 100.0)
RADII = (2.0, 3.0, 4.6, 7.0)
SIDE, PAIRS = 64, 8


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--weights", nargs="+", default=["astro"])
    parser.add_argument("--draws", type=int, default=12, help=f"batches of {PAIRS} pairs")
    given = parser.parse_args()
    rims = {name: load_weights(name)[0] for name in given.weights}
    print("| around it | significance | weights |", " | ".join(f"{r:g} px" for r in RADII), "|")
    print("| --- | ---: | --- |", " | ".join("---:" for _ in RADII), "|")
    card = load_operator_card("sky-psf")
    for scene, settings in SCENES.items():
        for snr in SNR:
            parameters = {**card.parameters, **FIXED, **settings, "extra": snr}
            sample = Sky(parameters, data_root(), "test")
            generator = torch.Generator().manual_seed(0)
            found: dict[str, list[Tensor]] = {name: [] for name in rims}
            for _ in range(given.draws):
                likelihood, truth = sample(generator, 2 * PAIRS, SIDE)
                for name, rim in rims.items():
                    with torch.inference_mode():
                        estimate = rim(likelihood)[-1]
                    found[name].append(gained(estimate, truth, RADII))
            for name, shares in found.items():
                told = torch.cat(shares).median(dim=0).values.tolist()
                cells = " | ".join(f"{share:.3f}" for share in told)
                print(f"| {scene} | {snr:.0f} | `{name}` | {cells} |", flush=True)


if __name__ == "__main__":
    main()
