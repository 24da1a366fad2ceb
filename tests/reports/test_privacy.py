"""Paths are cut to names, and nothing else is."""

from __future__ import annotations

from pathlib import PurePosixPath

import pytest

from rimaging.reports.privacy import public_text


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("see /home/jane van doe/x for more", "see x for more"),
        ("/home/jane and /home/john", "jane and john"),
        ("~/scan.h5", "scan.h5"),
        ("/data/study/scan.h5", "scan.h5"),
        (
            "read /data/study/scan.h5, then ~/weights/mri.safetensors",
            "read scan.h5, then mri.safetensors",
        ),
        (r"C:\Users\jane\scan.h5", "scan.h5"),
        (r"\\server\share\scan.h5", "scan.h5"),
        ("file:///data/scan.h5", "scan.h5"),
        (PurePosixPath("/data/scan.h5"), "scan.h5"),
        ("Jy/beam", "Jy/beam"),
        ("erg/s/cm2/Hz", "erg/s/cm2/Hz"),
        ("1/2 and 3 / 4", "1/2 and 3 / 4"),
        ("2026-11-22T10:00:00", "2026-11-22T10:00:00"),
        ("a ratio of 3:1, and/or more", "a ratio of 3:1, and/or more"),
        ("see https://example.org/a/b", "see https://example.org/a/b"),
        (0.1 + 0.2, "0.3"),
    ],
)
def test_paths_are_cut_to_names_and_units_are_not(value: object, shown: str) -> None:
    assert public_text(value) == shown
