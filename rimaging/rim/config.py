"""What a RIM is made of; the card of its weights holds it."""

from __future__ import annotations

from dataclasses import dataclass

from rimaging.rim.cell import CellConfig


@dataclass(frozen=True)
class RIMConfig:
    """What a `RIM` is made of; stored in the card of its weights.

    Attributes:
        complex: whether images are complex (two real channels inside the network).
        channels: image channels that the network couples; 1 treats every plane by itself.
        steps: inference steps in training, and by default at test.
        initial_iterations: conjugate-gradient steps from zero to the initial estimate.
        initial_roughness: weight of squared differences there; above zero the initial estimate
            interpolates where nothing was measured, 0.02 hardly blurs.
        newton_iterations: conjugate-gradient steps of the Gauss-Newton input; 0 leaves it out.
        damping: of the Gauss-Newton input, in units of the noise's precision.
        consistency_iterations: conjugate-gradient steps by which each estimate is brought back to
            the data (`rimaging.rim.newton.consistent`); 0 leaves it to the network.
        consistency_damping: how strongly the network's estimate holds against the data there.
        relative_damping: whether it holds in the measure of what it is worth: its error grows with
            the contrast around, so that the factor is information / contrast (`Frame`).
        confidence: whether the network itself says so, pixel by pixel and step by step, as a factor
            of ``consistency_damping``.
        settle_iterations: of a last solve after all steps, where the measurement itself is the
            yardstick: it holds the last estimate by `rimaging.rim.rim.SETTLE_DAMPING` alone.
            Not in training.
        level: whether the network sees the local mean of the initial estimate. Without it a
            constant background passes through untouched; with it the zero of a sky counts.
        estimate: whether the network sees the current estimate; without it, it is the paper's
            gradient-descent network.
        memory: whether the cell keeps its state from step to step; without it, it is the paper's
            feed-forward network.
        unit: the recurrent unit of the cell, "minimal" or "gru" (`rimaging.rim.cell`).
        fine: features at half resolution.
        coarse: features at quarter resolution.
        depth: residual blocks before each memory.
        chebyshev: whether the solves are fixed polynomials (`rimaging.rim.chebyshev`) in place of
            conjugate gradients: then every pixel is inferred from its neighbourhood alone.
        atrous: a cell at full resolution, which commutes with shifts by any pixel; ``fine`` are
            then all its features, ``depth`` all its residual blocks.
        error_features: of the network that tells the error of an estimate (`ErrorHead`), 0: none.
        error_residual: whether it also tells that of the estimate with its residual put back.
    """

    complex: bool = False
    channels: int = 1
    steps: int = 6
    initial_iterations: int = 1
    initial_roughness: float = 0.0
    newton_iterations: int = 0
    damping: float = 0.1
    consistency_iterations: int = 0
    consistency_damping: float = 0.5
    relative_damping: bool = False
    confidence: bool = False
    settle_iterations: int = 0
    level: bool = False
    estimate: bool = True
    memory: bool = True
    unit: str = "minimal"
    fine: int = 32
    coarse: int = 64
    depth: int = 0
    atrous: bool = False
    chebyshev: bool = False
    error_features: int = 0
    error_residual: bool = False

    @property
    def planes(self) -> int:
        """Real channels of one image."""
        return self.channels * (2 if self.complex else 1)

    def cell(self) -> CellConfig:
        """The sizes of the cell: estimate, score, perhaps Newton direction, and information."""
        directions = 2 if self.newton_iterations else 1
        inputs = self.planes * (1 + directions + self.level) + self.channels + 1
        outputs = self.planes + (self.channels if self.confidence else 0)
        return CellConfig(
            inputs=inputs,
            outputs=outputs,
            fine=self.fine,
            coarse=self.coarse,
            unit=self.unit,
            depth=self.depth,
            atrous=self.atrous,
        )

    @property
    def error_inputs(self) -> int:
        """Planes that the error head reads: of `RIM.error`."""
        directions = 2 if self.newton_iterations else 1
        return self.planes * (3 + directions) + self.channels + 2

    @property
    def error_outputs(self) -> int:
        """Errors that it tells of each pixel."""
        return self.channels * (2 if self.error_residual else 1)
