from __future__ import annotations

import sys
from types import SimpleNamespace

import numpy as np
import pytest

from rimaging.errors import OptionError
from rimaging.reports.viewers import find_ds9, show_napari


def test_napari_gets_a_layer_for_each_array(monkeypatch: pytest.MonkeyPatch) -> None:
    layers: dict[str, np.ndarray] = {}

    class Viewer:
        def add_image(self, array: np.ndarray, name: str) -> None:
            layers[name] = array

    monkeypatch.setitem(sys.modules, "napari", SimpleNamespace(Viewer=Viewer))
    image = np.full((3, 4), 3 + 4j, np.complex64)
    viewer = show_napari({"image": image, "residual": np.ones((3, 4))})
    assert isinstance(viewer, Viewer)
    assert list(layers) == ["image", "residual"]
    assert np.array_equal(layers["image"], np.full((3, 4), 5.0))


def test_programs_that_are_absent_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "napari", None)
    with pytest.raises(OptionError, match="pip install"):
        show_napari({})
    monkeypatch.setenv("PATH", "")
    with pytest.raises(OptionError, match="not on the PATH"):
        find_ds9()
