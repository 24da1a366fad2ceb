"""The recurrent cell: what one RIM step sees in, an update of the estimate and new state out."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rimaging.errors import OptionError

State = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class CellConfig:
    """Sizes of a `MultiscaleCell`.

    Attributes:
        inputs: channels at full resolution that the cell sees at each step.
        outputs: channels of the update.
        fine: features on the grid of half resolution.
        coarse: features on the grid of quarter resolution.
        unit: the recurrent units: "minimal" (`GatedUnit`) or "gru" (`ClassicUnit`).
    """

    inputs: int
    outputs: int
    fine: int = 32
    coarse: int = 64
    unit: str = "minimal"


class GatedUnit(nn.Module):
    """Minimal gated recurrent unit: ``h <- h + z (relu(W [f, h]) - h)``, ``z = sigmoid(V [f, h])``.

    The candidate is a rectifier without bias, not tanh: features then grow with the signal-to-noise
    ratio instead of saturating, which the sky's dynamic range needs.
    """

    def __init__(self, features: int, kernel: int) -> None:
        super().__init__()
        self.gate = nn.Conv2d(2 * features, features, 1)
        self.candidate = nn.Conv2d(2 * features, features, kernel, padding=kernel // 2, bias=False)
        nn.init.constant_(self.gate.bias, 1.0)  # type: ignore[arg-type]

    def forward(self, features: Tensor, state: Tensor) -> Tensor:
        """The new state, of the shape of both arguments."""
        joint = torch.cat((features, state), dim=1)
        # Under autocast the layers answer in bfloat16; the memory keeps its own precision.
        candidate = F.relu(self.candidate(joint)).to(state.dtype)
        return torch.lerp(state, candidate, torch.sigmoid(self.gate(joint)).to(state.dtype))


class ClassicUnit(nn.Module):
    """Gated recurrent unit: update ``z``, reset ``r``, candidate by tanh.

    ``h <- h + z (tanh(W [f, r h]) - h)``: at equal compute the better of the two on photographs
    (docs/design/cell.md). Source: Cho et al., EMNLP 2014; Putzky & Welling 2017.
    """

    def __init__(self, features: int, kernel: int = 1) -> None:
        super().__init__()
        self.gates = nn.Conv2d(2 * features, 2 * features, kernel, padding=kernel // 2)
        self.candidate = nn.Conv2d(2 * features, features, kernel, padding=kernel // 2)

    def forward(self, features: Tensor, state: Tensor) -> Tensor:
        """The new state, of the shape of both arguments."""
        gates = torch.sigmoid(self.gates(torch.cat((features, state), dim=1))).to(state.dtype)
        update, reset = gates.chunk(2, dim=1)
        candidate = torch.tanh(self.candidate(torch.cat((features, reset * state), dim=1)))
        return torch.lerp(state, candidate.to(state.dtype), update)


def recurrent_unit(kind: str, features: int, kernel: int) -> nn.Module:
    """The unit of a name; ``kernel`` is that of the minimal unit's candidate.

    Raises OptionError for an unknown name.
    """
    if kind == "minimal":
        return GatedUnit(features, kernel)
    if kind == "gru":
        return ClassicUnit(features)
    raise OptionError(f'unknown recurrent unit {kind!r}: choose "minimal" or "gru"')


class MultiscaleCell(nn.Module):
    """Two recurrent memories, at half and at quarter resolution.

    Space-to-depth brings the inputs to half resolution, where a 3x3 layer reads them with the fine
    memory; a strided layer feeds the coarse memory, whose answer comes back up and updates the fine
    one; depth-to-space gives the update at full resolution.

    Inputs are ``(batch, inputs, y, x)`` with ``y`` and ``x`` multiples of `stride`.
    """

    stride = 4

    def __init__(self, config: CellConfig) -> None:
        super().__init__()
        self.config = config
        fine, coarse = config.fine, config.coarse
        self.read = nn.Conv2d(4 * config.inputs, fine, 3, bias=False)
        self.recall = nn.Conv2d(fine, fine, 3, padding=1, bias=False)
        self.down = nn.Conv2d(fine, coarse, 3, stride=2, padding=1, bias=False)
        self.coarse = recurrent_unit(config.unit, coarse, 3)
        self.up = nn.ConvTranspose2d(coarse, fine, 2, stride=2, bias=False)
        self.mix = nn.Conv2d(fine, fine, 3, padding=1, bias=False)
        self.fine = recurrent_unit(config.unit, fine, 1)
        self.write = nn.Conv2d(fine, 4 * config.outputs, 3, padding=1, bias=False)
        # The first updates are small, so that training starts from the initial estimate.
        nn.init.normal_(self.write.weight, std=1e-3)

    def initial_state(self, inputs: Tensor) -> State:
        """Zero memories for inputs of this batch and size."""
        batch, _, height, width = inputs.shape
        return (
            inputs.new_zeros(batch, self.config.fine, height // 2, width // 2),
            inputs.new_zeros(batch, self.config.coarse, height // 4, width // 4),
        )

    def forward(self, inputs: Tensor, state: State) -> tuple[Tensor, State]:
        """One step: the update ``(batch, outputs, y, x)`` and the new state."""
        fine, coarse = state
        # Replicated edges: a border of zeros would look like an edge of the scene.
        pixels = F.pad(F.pixel_unshuffle(inputs, 2), (1, 1, 1, 1), mode="replicate")
        features = F.relu(self.read(pixels) + self.recall(fine))
        coarse = self.coarse(F.relu(self.down(features)), coarse)
        fine = self.fine(F.relu(self.mix(features + self.up(coarse))), fine)
        return F.pixel_shuffle(self.write(fine), 2), (fine, coarse)
