"""The images of data cards as truths: gray or colour, in 8-bit counts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from torch import Tensor

from rimaging.datasets.data_card import DataCard, Split
from rimaging.datasets.measurement import Measurement
from rimaging.errors import CardError, DataError

__all__ = ["GRAY", "cards_of", "planes", "read_images"]

GRAY = (0.298936, 0.587043, 0.114021)
"""Weights of R, G, B with which the gray BSD68 test set was made."""

WHITE = 255.0


def read_images(
    cards: Sequence[DataCard], root: Path, split: Split, *, colour: bool = False
) -> tuple[Tensor, ...]:
    """Read the images of a split as ``(y, x)``, or ``(3, y, x)`` in colour, with white at 255.

    Files are any that `rimaging.open` reads as images. Of 8 bits they are uint8, else float32.
    Colour made gray is the sum of R, G, B by ``GRAY``, rounded where it was of 8 bits; gray made
    colour is three times itself. Where nothing says what is white (FITS, .npy, floating TIFF), it
    is the largest value of the file; their further axes are images each by itself.

    Files that leak into a test are left out, and so are cards without that split.
    Raises CardError where no card has it or one holds no images, DataError as `planes` does.
    """
    images = tuple(
        image
        for card in cards_of(cards, split)
        for item in card.items(split)
        for image in _images(card.measurement(item, root), item.path, colour)
    )
    if not images:
        raise DataError(f"split '{split}' has no image that leaks into no test: add others.")
    return images


def cards_of(cards: Sequence[DataCard], split: Split) -> list[DataCard]:
    """Those of the cards that have a split; raise CardError where none has."""
    found = [card for card in cards if split in card.splits]
    if not found:
        names = ", ".join(f"'{card.name}'" for card in cards)
        raise CardError(f"no split '{split}' in {names}: name its files under [split].")
    return found


def planes(measurement: Measurement, path: str) -> Tensor:
    """The data of a real image that is whole, as ``(image, y, x)``.

    Raises DataError for k-space, complex images, and images with pixels that were not measured.
    """
    data = measurement.data
    if measurement.kind == "kspace" or data.is_complex():
        what = "k-space" if measurement.kind == "kspace" else "complex"
        raise DataError(f"{path} is {what}, expected a real image: leave it out.")
    if measurement.mask is not None and not bool(measurement.mask.bool().all()):
        missing = int((~measurement.mask.bool()).sum())
        raise DataError(
            f"{path} lacks {missing} pixels, which no truth may: cut them off, or leave it out."
        )
    return data.float().reshape(-1, *data.shape[-2:])


def _images(measurement: Measurement, path: str, colour: bool) -> Iterator[Tensor]:
    stack = planes(measurement, path)
    picture = measurement.units == "relative to white"
    white = 1.0 if picture else float(stack.abs().max())
    if white == 0:
        raise DataError(f"{path} is zero everywhere: leave it out.")
    stack = stack * (WHITE / white)
    eight_bits = measurement.provenance.get("bit_depth", 32) <= 8
    if eight_bits:
        stack = stack.round().to(torch.uint8)
    if picture and measurement.data.ndim == 3 and len(stack) == 3:
        yield stack if colour else _gray(stack, eight_bits)
    else:
        yield from (plane.expand(3, -1, -1) if colour else plane for plane in stack)


def _gray(rgb: Tensor, eight_bits: bool) -> Tensor:
    gray = torch.einsum("cyx,c->yx", rgb.double(), torch.tensor(GRAY, dtype=torch.float64))
    return gray.round().to(torch.uint8) if eight_bits else gray.float()
