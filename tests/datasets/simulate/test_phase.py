"""Laws of smooth random fields."""

import torch

from rimaging.datasets.simulate.phase import gaussian_field, polynomial, smooth_phase


def test_fields_are_smooth_and_of_unit_size():
    fields = gaussian_field(torch.Generator().manual_seed(0), 200, 48, 6)
    assert abs(float(fields.mean())) < 0.05
    assert 0.6 < float(fields.std()) < 1.1
    assert float(fields.diff(dim=-1).abs().mean()) < 0.2 * float(fields.abs().mean())


def test_polynomial_has_its_degree():
    field = polynomial(torch.Generator().manual_seed(1), 40, 3).double()
    assert float(field.diff(n=4, dim=0).abs().max()) < 1e-4
    assert float(field.diff(n=3, dim=0).abs().max()) > 1e-6


def test_phase_differs_between_draws_and_winds_slowly():
    generator = torch.Generator().manual_seed(2)
    phases = torch.stack([smooth_phase(generator, 64) for _ in range(20)])
    assert float(phases.std(dim=0).min()) > 0.5
    assert float(phases.diff(dim=-1).abs().median()) < 0.1
