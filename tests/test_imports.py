"""The import table of docs/design/house.md, read from the sources and enforced."""

from __future__ import annotations

import ast
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[1]
PACKAGE = CHECKOUT / "rimaging"

BASE = {"errors", "typing"}
ROOMS = BASE | {
    "catalogue",
    "memory",
    "operators",
    "rim",
    "datasets",
    "solvers",
    "mosaic",
    "reports",
}
WAY = {"method", "reconstruct", "reconstruction", "uncertainty"}
DOORS = {"mri", "astro", "image"}
# Experiments and the demonstration are users of the house: everything but the command line.
USERS = {
    "experiment",
    "training_data",
    "training_settings",
    "benchmark",
    "demo",
    "demo_scenes",
    "doctor",
    "validate",
}

# Room -> the other rooms that it may import. A module right under rimaging/ is a room.
MAY_IMPORT = {
    "errors": set[str](),
    "typing": set[str](),
    "catalogue": {"errors"},
    "memory": set[str](),
    "operators": BASE,
    "testing": BASE | {"operators"},
    "rim": BASE,
    "datasets": BASE | {"catalogue", "memory", "operators"},
    "solvers": BASE | {"operators"},
    "mosaic": BASE | {"memory"},
    "reports": BASE | {"operators"},
    "progress": BASE | {"rim"},
    "reconstruction": ROOMS,
    "uncertainty": BASE | {"operators"},
    "method": BASE | {"datasets", "operators", "rim"},
    "reconstruct": ROOMS | {"method", "reconstruction", "uncertainty"},
    "tiles": ROOMS | WAY,
    "mosaics": ROOMS | WAY | {"astro", "tiles"},
    **{door: ROOMS | WAY | ({"tiles"} if door == "astro" else set()) for door in DOORS},
    **{user: ROOMS | WAY | DOORS | (USERS - {user}) for user in USERS},
    "__main__": {"cli"},
    "cli": BASE
    | DOORS
    | USERS
    | WAY
    | {"catalogue", "progress", "datasets", "mosaic", "mosaics", "reports", "rim"},
}

# Imported inside the function that uses them, wherever that is.
HEAVY = {
    "astropy",
    "dask",
    "distributed",
    "galsim",
    "h5py",
    "jinja2",
    "matplotlib",
    "nibabel",
    "pooch",
    "scipy",
    "sigpy",
    "skimage",
    "zarr",
}
# Answer before torch is loaded: `import rimaging`, `rimaging --help` and errors.
WITHOUT_TORCH = {"", "errors", "catalogue", "cli"}
# Distribution -> the module that it provides, where the names differ.
PROVIDES = {"pillow": "PIL", "scikit-image": "skimage", "pymapvbvd": "mapvbvd", "pyyaml": "yaml"}
# Imported where a machine has them, and never asked for: a viewer, codecs, the GPU's NUFFT.
OFFERED = {"cufinufft", "napari", "bm3d"}


@dataclass(frozen=True)
class Import:
    """One import statement: `module` imports `target` at `line`."""

    module: str
    target: str
    line: int
    at_top: bool

    def __str__(self) -> str:
        return f"{self.module}:{self.line} imports {self.target}"

    @property
    def package(self) -> str:
        return self.target.partition(".")[0]


def name_of(path: Path) -> str:
    parts = path.relative_to(CHECKOUT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


SOURCES = {name_of(path): path for path in sorted(PACKAGE.rglob("*.py"))}


def room_of(module: str) -> str:
    """The room of a module of ours: rimaging.operators.fourier -> operators; rimaging -> ''."""
    return [*module.split("."), ""][1]


def targets_of(node: ast.Import | ast.ImportFrom, module: str) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    base = node.module or ""
    if node.level:
        is_package = SOURCES[module].name == "__init__.py"
        parents = module.split(".")[: None if is_package else -1]
        parents = parents[: len(parents) - (node.level - 1)]
        base = ".".join([*parents, *([base] if base else [])])
    # `from rimaging.rim import cell` imports a module, `from rimaging.rim.cell import Cell` a name.
    return [
        f"{base}.{alias.name}" if f"{base}.{alias.name}" in SOURCES else base
        for alias in node.names
    ]


class Reader(ast.NodeVisitor):
    """Collects the imports that happen at run time, and whether they happen on loading."""

    def __init__(self, module: str) -> None:
        self.module = module
        self.depth = 0
        self.imports: list[Import] = []

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) -> None:
        self.depth += 1
        self.generic_visit(node)
        self.depth -= 1

    visit_AsyncFunctionDef = visit_FunctionDef
    visit_Lambda = visit_FunctionDef

    def visit_If(self, node: ast.If) -> None:
        # What only the type checker reads is not imported.
        body = [] if "TYPE_CHECKING" in ast.unparse(node.test) else node.body
        for child in [*body, *node.orelse]:
            self.visit(child)

    def visit_Import(self, node: ast.Import | ast.ImportFrom) -> None:
        for target in targets_of(node, self.module):
            self.imports.append(Import(self.module, target, node.lineno, at_top=self.depth == 0))

    visit_ImportFrom = visit_Import


def read(module: str, path: Path) -> list[Import]:
    reader = Reader(module)
    reader.visit(ast.parse(path.read_text(encoding="utf-8"), filename=str(path)))
    return reader.imports


IMPORTS = [found for module, path in SOURCES.items() for found in read(module, path)]


def listed(imports: list[Import], repair: str) -> str:
    return "\n".join([repair, *(f"  {found}" for found in imports)])


def test_every_room_stands_in_the_table() -> None:
    rooms = {room_of(module) for module in SOURCES} - {""}
    assert rooms <= MAY_IMPORT.keys(), "a new room needs its line in docs/design/house.md and here"


def test_the_table_has_no_circle() -> None:
    rooms = {room: allowed - {room} for room, allowed in MAY_IMPORT.items() if room not in USERS}
    list(TopologicalSorter(rooms).static_order())


def test_rooms_import_only_what_the_table_allows() -> None:
    trespasses = [
        found
        for found in IMPORTS
        if found.package == "rimaging"
        and room_of(found.module) != ""
        and room_of(found.target) not in MAY_IMPORT[room_of(found.module)] | {room_of(found.module)}
        # The version of the package is nobody's secret.
        and found.target != "rimaging"
    ]
    assert not trespasses, listed(trespasses, "docs/design/house.md does not allow:")


def test_modules_do_not_import_in_a_circle() -> None:
    graph: dict[str, set[str]] = {module: set() for module in SOURCES}
    for found in IMPORTS:
        if found.target in SOURCES and found.target != found.module:
            graph[found.module].add(found.target)
    try:
        list(TopologicalSorter(graph).static_order())
    except CycleError as circle:
        pytest.fail("imported in a circle: " + " <- ".join(circle.args[1]))


def test_heavy_libraries_are_imported_where_they_are_used() -> None:
    early = [found for found in IMPORTS if found.at_top and found.package in HEAVY]
    assert not early, listed(early, "move these into the function that uses them:")


def test_the_command_line_and_the_tables_of_contents_load_without_torch() -> None:
    early = [
        found
        for found in IMPORTS
        if found.at_top
        and found.package == "torch"
        and (room_of(found.module) in WITHOUT_TORCH or SOURCES[found.module].name == "__init__.py")
    ]
    assert not early, listed(early, "import torch where it is used:")


def test_every_library_imported_is_declared_and_every_dependency_used() -> None:
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = [
        line
        for name, lines in project["optional-dependencies"].items()
        if name != "dev"
        for line in lines
    ]
    names = [line.partition(">")[0] for line in [*project["dependencies"], *extras]]
    declared = {PROVIDES.get(name, name) for name in names}
    imported = {
        found.package
        for found in IMPORTS
        # Whoever asks rimaging.testing for strategies is testing, and has hypothesis.
        if (found.module, found.package) != ("rimaging.testing", "hypothesis")
    }
    imported -= sys.stdlib_module_names | OFFERED | {"rimaging"}
    assert imported == declared


@pytest.mark.parametrize("statement", ["import rimaging", "import rimaging.cli"])
def test_starting_loads_neither_torch_nor_a_heavy_library(statement: str) -> None:
    script = f"import sys; {statement}; print(*{{name.partition('.')[0] for name in sys.modules}})"
    answer = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=CHECKOUT
    )
    assert not set(answer.stdout.split()) & (HEAVY | {"torch"})


def test_every_public_name_of_the_package_loads() -> None:
    import rimaging

    for name in rimaging.__all__:
        assert getattr(rimaging, name) is not None
    with pytest.raises(AttributeError, match="Reconstruction"):
        rimaging.recontruction  # noqa: B018 - a misspelt name is the test
