"""Where the pixels of a TIFF lie: the axes of its hyperstack, and how many pixels a unit has."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tifffile import TiffFile, TiffPageSeries

__all__ = ["enlarged", "grid_of"]


def grid_of(file: TiffFile, series: TiffPageSeries) -> dict[str, Any]:
    """What says where the pixels lie: the axes before y, and how many pixels a unit has."""
    grid: dict[str, Any] = {}
    page = series.keyframe
    flavour = "imagej" if file.is_imagej else "ome" if file.is_ome else None
    leading = series.axes.replace("S", "").removesuffix("YX")
    if flavour is not None and set(leading) <= set("TZC"):
        grid = {"flavour": flavour, "axes": leading}
    if flavour == "imagej" and grid:
        known = file.imagej_metadata or {}
        kept = ("unit", "spacing", "finterval", "fps", "min", "max", "mode")
        grid["imagej"] = {key: known[key] for key in kept if key in known}
    if flavour == "ome" and grid:
        grid["ome"] = _physical_sizes(file)
    tags = page.tags
    if "XResolution" in tags and "YResolution" in tags:
        x, y = (tags[name].value for name in ("XResolution", "YResolution"))
        fractions = all(isinstance(v, tuple) and len(v) == 2 and 0 not in v for v in (x, y))
        if fractions and (x, y) != ((1, 1), (1, 1)):
            grid["pixels_per_unit"] = [x[0] / x[1], y[0] / y[1]]
            unit = tags.get("ResolutionUnit")
            grid["resolution_unit"] = (
                1 if unit is None or unit.value not in (2, 3) else int(unit.value)
            )
    return grid


def enlarged(grid: dict[str, Any], y: float, x: float) -> dict[str, Any]:
    """The grid of an image of so many times as many pixels."""
    grid = dict(grid)
    if "pixels_per_unit" in grid:
        across, down = grid["pixels_per_unit"]
        grid["pixels_per_unit"] = [across * x, down * y]
    if "ome" in grid:
        factor = {"PhysicalSizeX": x, "PhysicalSizeY": y}
        grid["ome"] = {
            key: value / factor[key] if key in factor else value
            for key, value in grid["ome"].items()
        }
    return grid


def _physical_sizes(file: TiffFile) -> dict[str, Any]:
    """Sizes of the pixels, their units, and names of channels, of the first of an OME-TIFF."""
    from xml.etree import ElementTree

    try:
        pixels = ElementTree.fromstring(file.ome_metadata or "").find(".//{*}Pixels")
    except ElementTree.ParseError:
        return {}
    found: dict[str, Any] = {}
    if pixels is None:
        return found
    for axis in "XYZ":
        size, unit = (pixels.get(f"PhysicalSize{axis}{end}") for end in ("", "Unit"))
        try:
            found[f"PhysicalSize{axis}"] = float(size or "")
        except ValueError:  # it is not there, or no number
            continue
        found[f"PhysicalSize{axis}Unit"] = unit or "µm"
    names = [channel.get("Name") for channel in pixels.findall("{*}Channel")]
    if names and all(names):
        found["Channel"] = {"Name": names}
    return found
