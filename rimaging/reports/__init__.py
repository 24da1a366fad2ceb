"""Metrics, galaxy shapes, diagnostics, figures and the HTML report."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rimaging.reports.diagnostics import Diagnostics, diagnose
    from rimaging.reports.html import Comparison, Method, Picture, report, save_report
    from rimaging.reports.metrics import luma, nmse, psnr, ssim

_HOMES = {
    "Comparison": "html",
    "Diagnostics": "diagnostics",
    "Method": "html",
    "Picture": "html",
    "diagnose": "diagnostics",
    "luma": "metrics",
    "nmse": "metrics",
    "psnr": "metrics",
    "report": "html",
    "save_report": "html",
    "ssim": "metrics",
}

__all__ = [
    "Comparison",
    "Diagnostics",
    "Method",
    "Picture",
    "diagnose",
    "luma",
    "nmse",
    "psnr",
    "report",
    "save_report",
    "ssim",
]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first asked for (PEP 562)."""
    if name in _HOMES:
        value = getattr(import_module(f"rimaging.reports.{_HOMES[name]}"), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module 'rimaging.reports' has no attribute {name!r}")
