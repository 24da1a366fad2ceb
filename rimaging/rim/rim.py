"""The Recurrent Inference Machine: learned inference around any likelihood."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from rimaging.errors import OptionError, ShapeError
from rimaging.rim.blocks import State, in_blocks
from rimaging.rim.cell import AtrousCell, MultiscaleCell, recurrent_cell
from rimaging.rim.config import RIMConfig
from rimaging.rim.error_head import ErrorHead
from rimaging.rim.frame import Frame, local_mean
from rimaging.rim.interpolation import Interpolating
from rimaging.rim.newton import consistent, newton_direction
from rimaging.typing import LikelihoodLike


class Step(NamedTuple):
    """Where an inference stands: the estimate, in units of the image, and the cell's memory."""

    estimate: Tensor
    state: State


LEAST_INFORMATION = 0.1
"""Below it a pixel counts as hardly measured: the network alone says what is there."""

SETTLE_DAMPING = 0.01
"""How strongly the last estimate holds where it is settled, in units of the noise's precision: as a
Gaussian of ten times the noise."""

FARTHEST = 64.0
"""Contrasts to which the estimate and its directions are cut before the network sees them: a step
that went astray shall not take the next ones, and a training, with it."""


class RIM(nn.Module):
    """``x <- x + s a h((x/s - m) / a, s score / a, d / (s a), s sqrt(information), 1/a; state)``.

    ``s`` is the noise scale of the item, ``d`` a damped Gauss-Newton direction, ``m`` and ``a`` the
    local mean and contrast of the initial estimate (`Frame`). All that the network sees is
    in units of the noise, so scaling data and noise by ``c`` scales the estimate by ``c``; seen in
    the local contrast, a star of 10^5 sigma and a nebula of 3 are alike. The frame is local
    (`FRAME_RADIUS`): no statistic is taken over an image, so a tile with its halo equals the whole.

    Source: Putzky & Welling, Recurrent Inference Machines for Solving Inverse Problems, 2017.
    """

    def __init__(self, config: RIMConfig) -> None:
        super().__init__()
        self.config = config
        self.cell: MultiscaleCell | AtrousCell = recurrent_cell(config.cell()).to(
            memory_format=torch.channels_last
        )  # type: ignore[call-overload]
        self.error_head: ErrorHead | None = None
        if config.error_features:
            sizes = (config.error_inputs, config.error_outputs, config.error_features)
            self.error_head = ErrorHead(*sizes)
        self.float()  # whatever torch.set_default_dtype says

    def forward(
        self,
        likelihood: LikelihoodLike,
        x0: Tensor | None = None,
        steps: int | None = None,
        *,
        network_dtype: torch.dtype | None = None,
        checkpoint_steps: bool = False,
    ) -> list[Tensor]:
        """Infer: the estimate after each step, first to last.

        Args:
            likelihood: the measurement; score and curvature stay in float32.
            x0: initial estimate ``(*batch, [channels,] y, x)``; by default a few conjugate-gradient
                steps from zero.
            steps: how many; by default as in training.
            network_dtype: bfloat16 for the network alone, under autocast.
            checkpoint_steps: trade time for memory in training.

        Raises:
            OptionError: fewer than one step.
            ShapeError: an image that is complex where the weights are real, or the reverse.
        """
        steps = self.config.steps if steps is None else steps
        if steps < 1:
            raise OptionError(
                f"steps must be at least 1, got {steps}: leave it out for the default"
            )
        self._check(likelihood.zeros() if x0 is None else x0)
        x = self.initial(likelihood) if x0 is None else x0
        frame = self.frame(likelihood, x)
        step = Step(x, self.initial_state(x, network_dtype))
        estimates: list[Tensor] = []
        for _ in range(steps):
            if checkpoint_steps and torch.is_grad_enabled():
                step = checkpoint(
                    self.step, likelihood, step, frame, network_dtype, use_reentrant=False
                )
            else:
                step = self.step(likelihood, step, frame, network_dtype)
            estimates.append(step.estimate)
        if self.config.settle_iterations and not estimates[-1].requires_grad:
            iterations, chebyshev = self.config.settle_iterations, self.config.chebyshev
            estimates[-1] = consistent(
                likelihood, estimates[-1], iterations, SETTLE_DAMPING, chebyshev=chebyshev
            )
        return estimates

    def bytes_per_pixel(self, device: str) -> float:
        """What a step holds of an image on a ``device`` ("cpu", "cuda"), beside the physics.

        On a CPU the layers are beside (`rimaging.rim.blocks.working_bytes`), whatever the image.
        """
        return 4 * (self.cell.held if device == "cpu" else self.cell.numbers)

    def initial(self, likelihood: LikelihoodLike) -> Tensor:
        """Conjugate gradients from zero, stopped early: the regularised least-squares start."""
        x = likelihood.zeros()
        score = likelihood.score(x)
        if self.config.initial_roughness:
            likelihood = Interpolating(likelihood, self.config.initial_roughness)
        iterations, chebyshev = self.config.initial_iterations, self.config.chebyshev
        return newton_direction(likelihood, x, score, iterations, 0.0, chebyshev=chebyshev)

    def frame(self, likelihood: LikelihoodLike, x: Tensor) -> Frame:
        """The local frame of an initial estimate ``x``."""
        scale = likelihood.noise_scale
        planes = self._planes(x / scale)
        mean = local_mean(planes)
        variance = local_mean((planes - mean).square().sum(dim=1, keepdim=True))
        information = scale * likelihood.information().clamp_min(0).sqrt()
        return Frame(mean, (1 + variance).sqrt(), self._information_planes(information, x))

    def initial_state(self, x: Tensor, network_dtype: torch.dtype | None = None) -> State:
        """Zero memories for images like ``x``, by default in their precision."""
        return self.cell.initial_state(self._pad(self._planes(x)), network_dtype)

    def step(
        self,
        likelihood: LikelihoodLike,
        step: Step,
        frame: Frame,
        network_dtype: torch.dtype | None = None,
    ) -> Step:
        """One step of inference from an explicit estimate and state."""
        scale = likelihood.noise_scale
        # The physics is not differentiated through: the estimate carries the gradient to earlier
        # steps, at half the cost and without the memory.
        with torch.no_grad():
            x = step.estimate.detach()
            seen = self._directions(likelihood, x, frame)
        relative = (self._planes(step.estimate / scale) - frame.mean) / frame.contrast
        relative, *seen = (plane.clamp(-FARTHEST, FARTHEST) for plane in (relative, *seen))
        if not self.config.estimate:
            relative = torch.zeros_like(relative)
        level = (frame.mean / frame.contrast,) if self.config.level else ()
        inputs = torch.cat((relative, *seen, frame.information, 1 / frame.contrast, *level), dim=1)
        height, width = inputs.shape[-2:]
        device = inputs.device.type
        with torch.autocast(device, dtype=network_dtype, enabled=network_dtype is not None):
            before = step.state
            if not self.config.memory:
                before = self.initial_state(step.estimate, network_dtype)
            update, state = in_blocks(
                self.cell,
                self._pad(inputs),
                before,
                reach=self.cell.reach,
                stride=self.cell.stride,
                features=self.cell.widest,
            )
        update = update[..., :height, :width].to(inputs.dtype)
        moved = scale * self._image(frame.contrast * update[:, : self.config.planes], x)
        estimate = step.estimate + moved
        if self.config.consistency_iterations:
            estimate = self._consistent(likelihood, estimate, update, frame)
        return Step(estimate, state)

    def error(self, likelihood: LikelihoodLike, estimates: Sequence[Tensor]) -> Tensor:
        """How far the last of some estimates is off: a standard deviation for each pixel.

        ``e = s exp h((x/s - m) / a, m / a, s score / a, d / (s a), (x - x_before) / (s a),
        s sqrt(information), 1/a, log a)`` with the frame of ``x`` itself; 68 % of the truth
        shall lie within ``e`` and 95 % within ``1.96 e``, over draws like those of training.

        Args:
            likelihood: the measurement that they explain.
            estimates: of `forward`, first to last; the last two are looked at.

        Returns:
            ``(error, *batch, [channels,] y, x)``, in units of the image: that of the estimate and,
            with ``error_residual``, that of the estimate with its residual put back. Of a complex
            image it is that of one real component.

        Raises:
            OptionError: weights without an error head.
        """
        return self.log_error(likelihood, estimates).exp() * likelihood.noise_scale

    def log_error(self, likelihood: LikelihoodLike, estimates: Sequence[Tensor]) -> Tensor:
        """The logarithm of `error` in units of the noise, as the head is trained."""
        head = self.checked_error_head()
        with torch.no_grad():
            x = estimates[-1].detach()
            before = estimates[-2].detach() if len(estimates) > 1 else x
            scale = likelihood.noise_scale
            frame = self.frame(likelihood, x)
            moved = self._planes((x - before) / scale) / frame.contrast
            relative = (self._planes(x / scale) - frame.mean) / frame.contrast
            seen = [
                plane.clamp(-FARTHEST, FARTHEST)
                for plane in (relative, moved, *self._directions(likelihood, x, frame))
            ]
            contrast = (1 / frame.contrast, frame.contrast.log())
            planes = (*seen, frame.mean / frame.contrast, frame.information, *contrast)
            inputs = torch.cat(planes, dim=1)
        told: Tensor = head(inputs).unflatten(1, (-1, self.config.channels)).movedim(1, 0)
        return told.reshape(told.shape[0], *x.shape)

    def checked_error_head(self, residual: bool = False) -> ErrorHead:
        """The error head; OptionError where there is none, or none of what is asked for.

        residual: the error of the estimate with its residual put back is wanted.
        """
        if self.error_head is None:
            raise OptionError(
                "these weights tell no error of their own: take others, or as many repetitions as "
                "you like, error_map=8 (--error-map 8)"
            )
        if residual and not self.config.error_residual:
            raise OptionError(
                "these weights tell no error of an image with its residual put back: leave out "
                "add_residual, or take repetitions, error_map=8 (--error-map 8)"
            )
        return self.error_head

    def _directions(self, likelihood: LikelihoodLike, x: Tensor, frame: Frame) -> list[Tensor]:
        """The score, and perhaps a damped Gauss-Newton direction, as the network sees them."""
        scale, score = likelihood.noise_scale, likelihood.score(x)
        images = [scale * score]
        if self.config.newton_iterations:
            iterations, damping = self.config.newton_iterations, self.config.damping
            direction = newton_direction(
                likelihood, x, score, iterations, damping, chebyshev=self.config.chebyshev
            )
            images.append(direction / scale)
        return [self._planes(image) / frame.contrast for image in images]

    def _consistent(
        self,
        likelihood: LikelihoodLike,
        estimate: Tensor,
        update: Tensor,
        frame: Frame,
    ) -> Tensor:
        """The estimate after a damped solve; what the cell wrote last is its confidence."""
        iterations, damping = self.config.consistency_iterations, self.config.consistency_damping
        if not (self.config.confidence or self.config.relative_damping):
            return consistent(
                likelihood, estimate, iterations, damping, chebyshev=self.config.chebyshev
            )
        held = torch.full_like(frame.information, damping)
        if self.config.relative_damping:
            held = held * frame.information.clamp_min(LEAST_INFORMATION) / frame.contrast
        held = held.reshape(estimate.shape)
        if self.config.confidence:
            confidence = update[:, self.config.planes :].reshape(estimate.shape)
            # Bounded by e^6 either way: a solve of few iterations knows no more extremes.
            held = held * (6 * torch.tanh(confidence / 6)).exp()
        if self.config.chebyshev:
            return consistent(likelihood, estimate, iterations, held, chebyshev=True)
        diagonal = held + frame.information.square().reshape(estimate.shape)
        return consistent(likelihood, estimate, iterations, held, diagonal)

    def _check(self, x: Tensor) -> None:
        if x.is_complex() != self.config.complex:
            kinds = ("complex", "real") if self.config.complex else ("real", "complex")
            raise ShapeError(
                f"these weights are for {kinds[0]} images, the measurement is of a {kinds[1]} one: "
                "choose weights of the right kind"
            )
        channels = self.config.channels
        if channels > 1 and (x.ndim < 3 or x.shape[-3] != channels):
            kind = f"colour, {channels} channels" if channels == 3 else f"{channels} channels"
            raise ShapeError(
                f"these weights are for {kind}, the image is {tuple(x.shape)}: "
                "choose weights for one channel, which take any number"
            )

    def _planes(self, x: Tensor) -> Tensor:
        """``(*batch, [channels,] y, x)`` to real ``(batch, planes, y, x)``."""
        if x.is_complex():
            x = torch.view_as_real(x).movedim(-1, -3)
        elif self.config.channels == 1:
            x = x.unsqueeze(-3)
        return x.reshape(-1, self.config.planes, *x.shape[-2:])

    def _image(self, planes: Tensor, like: Tensor) -> Tensor:
        """Back from `_planes` to the shape and kind of ``like``."""
        if like.is_complex():
            planes = planes.unflatten(1, (self.config.channels, 2)).movedim(2, -1)
            return torch.view_as_complex(planes.contiguous()).reshape(like.shape)
        return planes.reshape(like.shape)

    def _information_planes(self, information: Tensor, x: Tensor) -> Tensor:
        # (broadcast_tensors and not broadcast_shapes, which imports sympy: a second of CPU)
        information = torch.broadcast_tensors(information, x)[0]
        return information.reshape(-1, self.config.channels, *x.shape[-2:])

    def _pad(self, planes: Tensor) -> Tensor:
        stride = self.cell.stride
        bottom, right = (-planes.shape[-2]) % stride, (-planes.shape[-1]) % stride
        if not bottom and not right:
            return planes
        return F.pad(planes, (0, right, 0, bottom), mode="replicate")
