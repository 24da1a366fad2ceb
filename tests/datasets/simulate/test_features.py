"""Photographs seen by SqueezeNet: declared noise, determinism, the network itself."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from rimaging.benchmark.photographs import colour_set, mapping
from rimaging.datasets.simulate.features import Features, centred, squeezenet_weights
from rimaging.errors import CardError
from rimaging.operators.squeezenet import SqueezeNet


def test_the_noise_is_the_declared_one(data_root: Path) -> None:
    sampler = Features({"layer": "fire3", "sigma": 5.0}, data_root, "validation")
    likelihood, truth = sampler(torch.Generator().manual_seed(0), 2, 48)
    again, _ = sampler(torch.Generator().manual_seed(0), 2, 48)
    assert torch.equal(likelihood.y, again.y)
    assert truth.shape == (2, 3, 48, 48)
    assert torch.allclose(likelihood.chi2(truth), torch.ones(2), atol=0.05)
    with pytest.raises(CardError, match="does not know 'noise'"):
        Features({"noise": 1.0}, data_root)


def test_the_network_recognises(data_root: Path) -> None:
    """113016 is a horse: sorrel by far, as the data's README found by the original network."""
    from torch.nn.functional import interpolate

    from rimaging.datasets.picture import read_picture

    assert "cbsd68_ids" in mapping(data_root) and len(colour_set(data_root, 1)) == 1
    picture = read_picture(data_root / "natural/bsds300_train/113016.jpg").data[None].float()
    picture = interpolate(picture, (224, 224), mode="bilinear", antialias=True)[0]
    network = SqueezeNet(squeezenet_weights(data_root), "conv10", (224, 224))
    logits = (network.gain * network(centred(picture))).mean(dim=(-2, -1))
    labels = (data_root / "features/imagenet_labels.txt").read_text().splitlines()
    assert "sorrel" in labels[int(logits.argmax())]
