"""Random projections of 32 x 32 patches: the paper's three tasks, its two ablations, and curves."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor

from rimaging.benchmark.contest import (
    TUNING_NOTE,
    Case,
    Entry,
    contest,
    decibels,
    hand_made,
    ours,
)
from rimaging.benchmark.photographs import noise
from rimaging.benchmark.table import Table, number, publish
from rimaging.datasets.simulate.photographs import Photographs
from rimaging.image.methods import ANY
from rimaging.operators.gaussian import Gaussian
from rimaging.operators.projection import Ensemble, RandomProjection
from rimaging.rim.weights import load_weights, shipped
from rimaging.solvers.cg import cg

SIDE = 32
SIGMA = 1 / 255
PATCHES = 5000
BATCH = 100
"""Patches that share one random matrix."""

BESIDE = 2
"""Batches of each column that tuned methods take, which are slow."""

ENSEMBLES: tuple[Ensemble, ...] = ("gaussian", "binary", "fourier")
RATIOS = (0.2, 0.4)
ABLATIONS = {"GDN": "random-projections-gdn", "FFN": "random-projections-ffn"}
"""The paper's: the gradient-descent network sees no estimate, the feed-forward has no memory."""

LONGEST = 40
"""Steps of the curves: twice and more those of training."""


def main(data: Path, weights: str, limit: int | None = None, out: Path | None = None) -> None:
    """Print PSNR of 5,000 test patches (or ``limit``) of each ensemble and ratio.

    Raises FormatError where data are absent, WeightsError for weights that cannot be loaded.
    """
    count = PATCHES if limit is None else limit
    columns = {
        f"{ensemble} {ratio:g}": cases(data, ensemble, ratio, count)
        for ensemble in ENSEMBLES
        for ratio in RATIOS
    }
    first = next(iter(columns.values()))[0]
    network = ours(weights, first)
    entries = [Entry("least squares", by_least_squares, 1e-4, 10.0), *hand_made(), network]
    if weights != ANY:
        entries.append(ours(ANY, first))
    networks = {"RIM": weights, **{k: beside(weights, name) for k, name in ABLATIONS.items()}}
    found = {k: w for k, w in networks.items() if w in shipped() or Path(w).is_file()}
    entries += [
        Entry(f"{name} (ablation)", by_network(path))
        for name, path in found.items()
        if name != "RIM"
    ]
    protocol = [
        f"{count} patches of {SIDE} x {SIDE} from the 100 test images of BSDS300, gray; "
        f"{BATCH} share one random matrix.",
        "y = P x + n; ratio = projections / pixels; n white with sigma = 1 count, given.",
        "PSNR in dB, peak 1, per patch, then the mean; estimates in float, not clipped.",
        f"Seconds and 'first {BESIDE}' are of batches of {BATCH} patches.",
        TUNING_NOTE + " Least squares: its damping.",
    ]
    rows = contest(columns, entries, BESIDE)
    tables = [Table("Random projections", protocol, ["method", *columns, "seconds"], rows)]
    print(tables[0].text(), end="\n\n", flush=True)
    pictures = {}
    if found:
        curves = {name: curve(path, columns) for name, path in found.items()}
        tables.append(by_step(curves, protocol[:3]))
        print(tables[1].text(), flush=True)
        if out is not None:
            pictures["steps"] = drawn(curves)
    publish("projections", tables, pictures, out)


def cases(data: Path, ensemble: Ensemble, ratio: float, count: int) -> list[Case]:
    """Batches of test patches, the same patches for each ensemble and ratio."""
    photographs = Photographs({}, data, "test")
    generator = torch.Generator().manual_seed(4000)
    found = []
    for index, start in enumerate(range(0, count, BATCH)):
        truth = photographs.patches(generator, min(BATCH, count - start), SIDE)
        sums = round(ratio * SIDE**2)
        operator = RandomProjection((SIDE, SIDE), sums, ensemble, 100 + index)
        y = operator(truth) + SIGMA * noise((len(truth), sums), 5000 + index)
        found.append(Case(Gaussian(operator, y, SIGMA), truth, decibels(truth)))
    return found


def beside(weights: str, name: str) -> str:
    """The ablation's weights: in the folder of ours, else by their name."""
    file = Path(weights).parent / f"{name}.safetensors"
    return str(file) if Path(weights).is_file() and file.is_file() else name


def by_least_squares(case: Case, damping: float) -> Tensor:
    """Conjugate gradients on ``(P* P + damping) x = P* y``."""
    operator = case.likelihood.operator
    assert isinstance(operator, RandomProjection)
    return cg(operator, operator.adjoint(case.likelihood.y), damping=damping, iterations=50).x


def by_network(path: str) -> Callable[[Case, float], Tensor]:
    """A network by its weights, directly."""
    rim, _ = load_weights(path)

    def solve(case: Case, _: float) -> Tensor:
        estimate: Tensor = rim(case.likelihood)[-1]
        return estimate

    return solve


def curve(path: str, columns: dict[str, list[Case]]) -> list[float]:
    """Mean PSNR over all columns (one batch of each) after each of `LONGEST` steps."""
    rim, _ = load_weights(path)
    sums = torch.zeros(LONGEST)
    with torch.inference_mode():
        for cases_ in columns.values():
            estimates = rim(cases_[0].likelihood, steps=LONGEST)
            sums += torch.tensor([cases_[0].score(x)[0] for x in estimates])
    return [float(v) for v in sums / len(columns)]


def by_step(curves: dict[str, list[float]], protocol: Sequence[str]) -> Table:
    """PSNR at a few steps, those beyond training among them."""
    steps = (1, 2, 4, 8, 12, 16, 20, 30, 40)
    rows = [[name, *(number(values[s - 1]) for s in steps)] for name, values in curves.items()]
    note = "Mean over all ensembles and ratios, one batch of each; longer than in training, too."
    columns = ["network", *(f"step {s}" for s in steps)]
    return Table("Random projections, step by step", [*protocol, note], columns, rows)


def drawn(curves: dict[str, list[float]]) -> bytes:
    """PSNR by step of each network."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.4, 3.2), layout="constrained")
    FigureCanvasAgg(figure)
    axis = figure.subplots()
    for name, values in curves.items():
        axis.plot(range(1, len(values) + 1), values, label=name, lw=1.6)
    axis.set(xlabel="step", ylabel="PSNR (dB)")
    axis.legend(frameon=False)
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=150, metadata={"Software": None})
    return file.getvalue()
