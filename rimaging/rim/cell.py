"""The recurrent cell: what one RIM step sees in, an update of the estimate and new state out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rimaging.errors import OptionError
from rimaging.rim.blocks import State, in_strips


@dataclass(frozen=True)
class CellConfig:
    """Sizes of a cell.

    Attributes:
        inputs: channels at full resolution that the cell sees at each step.
        outputs: channels of the update.
        fine: features on the grid of half resolution; of an `AtrousCell`, all of them.
        coarse: features on the grid of quarter resolution.
        unit: the recurrent units: "minimal" (`GatedUnit`) or "gru" (`ClassicUnit`).
        depth: residual blocks before each of the two recurrent units; of an `AtrousCell`, all
            blocks, with dilations 1, 2, 4, 8, ...
        atrous: an `AtrousCell` instead of a `MultiscaleCell`.
    """

    inputs: int
    outputs: int
    fine: int = 32
    coarse: int = 64
    unit: str = "minimal"
    depth: int = 0
    atrous: bool = False


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
        return in_strips(self._update, features, state, self.candidate.kernel_size == (1, 1))

    def _update(self, features: Tensor, state: Tensor) -> Tensor:
        joint = torch.cat((features, state), dim=1)
        # Under autocast the layers answer in bfloat16; the memory keeps its own precision.
        candidate = self.candidate(joint).relu_().to(state.dtype)
        return torch.lerp(state, candidate, self.gate(joint).sigmoid_().to(state.dtype))


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
        return in_strips(self._update, features, state, self.candidate.kernel_size == (1, 1))

    def _update(self, features: Tensor, state: Tensor) -> Tensor:
        gates = self.gates(torch.cat((features, state), dim=1)).sigmoid_().to(state.dtype)
        update, reset = gates.chunk(2, dim=1)
        candidate = self.candidate(torch.cat((features, reset * state), dim=1)).tanh_()
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


class ResidualBlock(nn.Module):
    """``f + W_2 relu(W_1 f)`` with 3x3 layers, perhaps with holes; near the identity at first."""

    def __init__(self, features: int, dilation: int = 1) -> None:
        super().__init__()
        self.first, self.second = (
            nn.Conv2d(features, features, 3, padding=dilation, dilation=dilation, bias=False)
            for _ in range(2)
        )
        nn.init.kaiming_normal_(self.first.weight, nonlinearity="relu")
        nn.init.normal_(self.second.weight, std=0.1 / (3 * features**0.5))

    def forward(self, features: Tensor) -> Tensor:
        """Features of the same shape."""
        change: Tensor = self.second(self.first(features).relu_())
        return change.add_(features)


def residual_blocks(features: int, dilations: Sequence[int]) -> nn.Module:
    """Blocks one after the other; with none, the identity."""
    return nn.Sequential(*(ResidualBlock(features, dilation) for dilation in dilations))


class MultiscaleCell(nn.Module):
    """Two recurrent memories, at half and at quarter resolution.

    Space-to-depth brings the inputs to half resolution, where a 3x3 layer reads them with the fine
    memory; a strided layer feeds the coarse memory, whose answer comes back up and updates the fine
    one; depth-to-space gives the update at full resolution. Residual blocks, if any, stand before
    each memory.

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
        self.coarse_blocks = residual_blocks(coarse, [1] * config.depth)
        self.coarse = recurrent_unit(config.unit, coarse, 3)
        self.up = nn.ConvTranspose2d(coarse, fine, 2, stride=2, bias=False)
        self.mix = nn.Conv2d(fine, fine, 3, padding=1, bias=False)
        self.fine_blocks = residual_blocks(fine, [1] * config.depth)
        self.fine = recurrent_unit(config.unit, fine, 1)
        self.write = nn.Conv2d(fine, 4 * config.outputs, 3, padding=1, bias=False)
        # The first updates are small, so that training starts from the initial estimate.
        nn.init.normal_(self.write.weight, std=1e-3)

    @property
    def numbers(self) -> int:
        """Real numbers that a step holds for each pixel: inputs, copies of them, features."""
        return 4 * self.config.inputs + 3 * self.config.fine + self.config.coarse

    @property
    def held(self) -> float:
        """The same beside its layers, of which a CPU holds no more than of a few blocks."""
        memory = self.config.fine / 4 + self.config.coarse / 16
        return 2 * self.config.inputs + self.config.outputs + 2 * memory

    @property
    def widest(self) -> float:
        """Real numbers of its widest layer, for each pixel."""
        return max(self.config.fine / 4, self.config.coarse / 16)

    @property
    def reach(self) -> int:
        """Pixels beyond which one step does not see: no more than that."""
        return 24 + 12 * self.config.depth

    def initial_state(self, inputs: Tensor, dtype: torch.dtype | None = None) -> State:
        """Zero memories for inputs of this batch and size, by default of their precision."""
        batch, _, height, width = inputs.shape
        fine, coarse = (
            inputs.new_zeros(batch, features, height // stride, width // stride, dtype=dtype)
            for features, stride in ((self.config.fine, 2), (self.config.coarse, 4))
        )
        return (
            fine.contiguous(memory_format=torch.channels_last),
            coarse.contiguous(memory_format=torch.channels_last),
        )

    def forward(self, inputs: Tensor, state: State) -> tuple[Tensor, State]:
        """One step: the update ``(batch, outputs, y, x)`` and the new state."""
        fine, coarse = state
        # Replicated edges: a border of zeros would look like an edge of the scene.
        pixels = F.pad(F.pixel_unshuffle(inputs, 2), (1, 1, 1, 1), mode="replicate")
        # Channels last is how matrix units of GPUs and CPUs read images, several times faster.
        pixels = pixels.contiguous(memory_format=torch.channels_last)
        features = self.read(pixels).add_(self.recall(fine)).relu_()
        coarse = self.coarse(self.coarse_blocks(self.down(features).relu_()), coarse)
        mixed = self.mix(self.up(coarse).add_(features)).relu_()
        fine = self.fine(self.fine_blocks(mixed), fine)
        return F.pixel_shuffle(self.write(fine), 2), (fine, coarse)


class AtrousCell(nn.Module):
    """One recurrent memory at full resolution, which commutes with shifts by any pixel.

    A 3x3 layer reads the inputs with the memory; residual blocks with holes of 1, 2, 4, ... pixels
    (as the starlet transform has them) see far without a coarser grid; the memory is updated and a
    3x3 layer writes the update. It costs more for each value than a `MultiscaleCell`; what is asked
    of it is an answer that does not depend on where the grid of pixels begins.

    Inputs are ``(batch, inputs, y, x)``. Source of the holes: Holschneider et al., 1989.
    """

    stride = 1

    def __init__(self, config: CellConfig) -> None:
        super().__init__()
        self.config = config
        features = config.fine
        self.dilations = [2**index for index in range(config.depth)]
        self.read = nn.Conv2d(config.inputs, features, 3, bias=False)
        self.recall = nn.Conv2d(features, features, 1, bias=False)
        self.blocks = residual_blocks(features, self.dilations)
        self.unit = recurrent_unit(config.unit, features, 1)
        self.write = nn.Conv2d(features, config.outputs, 3, padding=1, bias=False)
        nn.init.normal_(self.write.weight, std=1e-3)

    @property
    def numbers(self) -> int:
        """Real numbers that a step holds for each pixel: inputs, copies of them, features."""
        return 3 * self.config.inputs + 6 * self.config.fine

    @property
    def held(self) -> float:
        """The same beside its layers, of which a CPU holds no more than of a few blocks."""
        return 2 * self.config.inputs + self.config.outputs + 2 * self.config.fine

    @property
    def widest(self) -> float:
        """Real numbers of its widest layer, for each pixel."""
        return self.config.fine

    @property
    def reach(self) -> int:
        """Pixels beyond which one step does not see."""
        return 2 + 2 * int(sum(self.dilations))

    def initial_state(self, inputs: Tensor, dtype: torch.dtype | None = None) -> State:
        """A zero memory for inputs of this batch and size, by default of their precision."""
        batch, _, height, width = inputs.shape
        memory = inputs.new_zeros(batch, self.config.fine, height, width, dtype=dtype)
        return (memory.contiguous(memory_format=torch.channels_last),)

    def forward(self, inputs: Tensor, state: State) -> tuple[Tensor, State]:
        """One step: the update ``(batch, outputs, y, x)`` and the new state."""
        (memory,) = state
        pixels = F.pad(inputs, (1, 1, 1, 1), mode="replicate")
        pixels = pixels.contiguous(memory_format=torch.channels_last)
        features = self.blocks(self.read(pixels).add_(self.recall(memory)).relu_())
        memory = self.unit(features, memory)
        return self.write(memory), (memory,)


def recurrent_cell(config: CellConfig) -> MultiscaleCell | AtrousCell:
    """The cell of a configuration."""
    return AtrousCell(config) if config.atrous else MultiscaleCell(config)
