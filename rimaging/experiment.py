"""An experiment: an operator card and data cards in, trained weights with a card of theirs out."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from typing import Any

import torch

from rimaging import __version__
from rimaging.datasets.data_card import DataCard
from rimaging.datasets.operator_card import OperatorCard, load_operator_card
from rimaging.datasets.simulate import SAMPLERS
from rimaging.datasets.simulate.claims import channels, check_claims, operators
from rimaging.errors import CardError, FormatError, OptionError
from rimaging.rim.config import RIMConfig
from rimaging.rim.rim import RIM
from rimaging.rim.training import Progress, Sampler, Trainer
from rimaging.rim.training_config import TrainingConfig
from rimaging.rim.weights import load_weights, save_weights
from rimaging.training_data import OPEN, data_cards, digest, linked_data
from rimaging.training_settings import MODEL, TRAINING, check_ranges

VALIDATION_ITEMS = 24
_VALIDATION_SEED = 5


@dataclass(frozen=True)
class Experiment:
    """What `rimaging train` does: the cards, and the settings that follow from them."""

    operator: OperatorCard
    data: tuple[DataCard, ...]
    model: RIMConfig
    training: TrainingConfig

    def record(self) -> dict[str, Any]:
        """What a resumed run must have in common with the first, beside the settings."""
        return {
            "operator": self.operator.name,
            "sampler": self.operator.sampler,
            "parameters": dict(self.operator.parameters),
            "data": {card.name: digest(card) for card in self.data},
        }


def load_experiment(
    operator: str | Path,
    data: Sequence[str | Path] = (),
    settings: Mapping[str, bool | int | float] | None = None,
) -> Experiment:
    """Read the cards of an experiment.

    Args:
        operator: an operator card, by path or by name.
        data: data cards, by path or by name; by default those of the sampler.
        settings: fields of `RIMConfig` and `TrainingConfig` instead of those of the card.

    Raises:
        CardError: a card that is absent or wrong, that names no sampler, or claims what its
            sampler does not draw.
        OptionError: a setting that does not exist or is out of range, a data card that the
            sampler does not read.
    """
    card = load_operator_card(operator)
    check_claims(card)
    card.check_settings(tuple(MODEL), tuple(TRAINING))
    check_ranges(card.model, f"[model] of card '{card.name}': ", CardError)
    check_ranges(card.training, f"[training] of card '{card.name}': ", CardError)
    chosen = dict(settings or {})
    unknown = sorted(chosen.keys() - {*MODEL, *TRAINING})
    if unknown:
        raise OptionError(
            f"there is no setting {unknown[0]!r}: use one of {', '.join((*MODEL, *TRAINING))}"
        )
    check_ranges(chosen, "", OptionError)
    model = {**card.model, **{k: v for k, v in chosen.items() if k in MODEL}}
    training = {**card.training, **{k: v for k, v in chosen.items() if k in TRAINING}}
    drawn = channels(card)
    if model.get("channels", 1) not in (1, drawn):
        raise CardError(
            f"the network of card '{card.name}' couples {model['channels']} channels, but its "
            f"images have {drawn}: write channels = {drawn} under [model]"
        )
    return Experiment(
        operator=card,
        data=data_cards(str(card.sampler), data),
        model=RIMConfig(**model),
        training=TrainingConfig(**training),
    )


def train(
    experiment: Experiment,
    out: Path,
    *,
    start: str | Path | None = None,
    device: str | None = None,
    on_step: Callable[[Progress], None] | None = None,
    on_validation: Callable[[Progress], None] | None = None,
) -> tuple[Path | None, int | None]:
    """Train, or go on training, in the folder ``out``.

    There stand then ``config.json``, ``state.safetensors``, ``curves.csv``, ``curves.png`` and,
    once the end is reached, ``<operator card>.safetensors``.

    Args:
        experiment: from `load_experiment`.
        out: the folder; a run that was stopped in it goes on where it was, bit for bit.
        start: weights to begin with, by name, path or URL.
        device: "cpu" or "cuda"; by default a GPU where there is one.
        on_step: told after each optimiser step.
        on_validation: told after each validation.

    Returns:
        The weights, and the number of the signal that stopped the run; one of them is None.

    Raises:
        FormatError, DataError: data that are absent, or differ from their cards.
        OptionError: a folder that holds another run, a device that does not exist.
        WeightsError: weights to start from that are of another kind.
    """
    record = experiment.record()
    initial: RIM | None = None
    began: dict[str, Any] = {}
    if start is not None:
        initial, began = load_weights(start)
        record["start"] = began.pop("sha256")
    name = device or ("cuda" if torch.cuda.is_available() else "cpu")
    if name not in ("cpu", "cuda") or (name == "cuda" and not torch.cuda.is_available()):
        raise OptionError(f"device {name!r} is not here: use cpu, or cuda on a machine with a GPU")

    with linked_data(experiment.data) as root:
        try:
            sample = sampler(experiment.operator, root, "train", experiment.data)
            validation = sampler(experiment.operator, root, "validation", experiment.data)
        except FormatError as error:
            if experiment.operator.sampler in OPEN:
                raise
            given = ", ".join(data.name for data in experiment.data)
            raise FormatError(
                f"data cards {given} are too few for sampler '{experiment.operator.sampler}' "
                f"({str(error).replace(f'{root}/', '')}): leave them out to use all that it reads"
            ) from None
    trainer = Trainer(
        experiment.model,
        experiment.training,
        sample,
        Validation(validation, experiment.training),
        out,
        start=initial,
        record=record,
    ).to(torch.device(name))

    def validated(progress: Progress) -> None:
        from rimaging.reports.curves import plot_curves

        plot_curves(out / "curves.csv", out / "curves.png")
        if on_validation is not None:
            on_validation(progress)

    # A GPU would wait for the simulation; on a CPU both want the same cores.
    workers = 0 if name == "cpu" else os.cpu_count() or 1
    if not trainer.run(validated, on_step, workers):
        return None, trainer.stopped_by
    weights = out / f"{experiment.operator.name}.safetensors"
    card = weights_card(experiment, trainer, record.get("start"))
    # Where the error alone was learned, the weights are still what they were.
    card = {**began, "error": card} if experiment.training.error_only and began else card
    save_weights(trainer.ema, weights, card)
    return weights, None


class Validation:
    """Mean PSNR of fixed draws from the validation split, in dB of each image's own maximum.

    Draws without any signal (an empty sky) have no PSNR and are left out.
    """

    def __init__(self, sample: Sampler, training: TrainingConfig) -> None:
        generator = torch.Generator().manual_seed(_VALIDATION_SEED)
        # A sampler of several operators says how many batches show them all.
        count = max(math.ceil(VALIDATION_ITEMS / training.batch), getattr(sample, "draws", 1))
        self.draws = [sample(generator, training.batch, training.size) for _ in range(count)]

    @torch.no_grad()
    def __call__(self, rim: RIM) -> float:
        """The mean over all draws; NaN where none has a signal."""
        device = next(rim.parameters()).device
        found = []
        for likelihood, truth in self.draws:
            if device != truth.device:
                likelihood = likelihood.to(device)  # type: ignore[attr-defined]
                truth = truth.to(device)
            error = (rim(likelihood)[-1] - truth).abs().square().mean(dim=(-2, -1))
            peak = truth.abs().amax(dim=(-2, -1))
            found.append(10 * torch.log10(peak**2 / error)[peak > 0])
        return float(torch.cat(found).mean())


def sampler(card: OperatorCard, root: Path, split: str, data: Sequence[DataCard] = ()) -> Sampler:
    """The sampler that an operator card names, over a split of the data below ``root``.

    ``data``: the cards that it reads, by default its own.
    """
    module = import_module(f"rimaging.datasets.simulate.{card.sampler}")
    given = (data,) if card.sampler in OPEN else ()
    made: Sampler = getattr(module, SAMPLERS[str(card.sampler)])(
        card.parameters, root, split, *given
    )
    return made


def weights_card(
    experiment: Experiment, trainer: Trainer, start: str | None = None
) -> dict[str, Any]:
    """The card inside the weights: what was trained, on what, how well, when and by whom.

    ``start``: sha256 of the weights that it began from.
    """
    operator = experiment.operator
    return {
        "name": operator.name,
        "title": operator.title,
        "operators": operators(operator),
        "operator": {
            "operator": operator.operator,
            "sampler": operator.sampler,
            "parameters": dict(operator.parameters),
            "noise": dict(operator.noise),
        },
        "data": [
            {
                "name": card.name,
                "title": card.title,
                "source": card.source,
                "licence": card.licence,
                "sha256": digest(card),
            }
            for card in experiment.data
        ],
        "training": asdict(experiment.training),
        "trained": {
            "iterations": trainer.iteration,
            "minutes": round(trainer.seconds / 60, 1),
            "device": _device_name(trainer.device),
            "start": start,
        },
        "figures": {
            "validation_psnr": None if math.isnan(trainer.psnr) else round(trainer.psnr, 3)
        },
        "version": __version__,
        "date": datetime.now(UTC).date().isoformat(),
    }


def _device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
