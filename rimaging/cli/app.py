"""The application: how a command is registered, and how an error is told."""

from __future__ import annotations

import os
import re
import sys
import warnings
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from typer.core import TyperGroup

from rimaging import __version__
from rimaging.errors import RimagingError

USAGE: Any = typer.BadParameter.__base__
"""Any misuse of an option or argument; where its class lies depends on typer's version."""


class OneLine(TyperGroup):
    """Commands of which misuse, too, is told in one line."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read the options before a command; with none, typer shows the help."""
        if not args:
            return super().parse_args(ctx, args)
        try:
            return super().parse_args(ctx, args)
        except USAGE as error:
            _refuse(ctx, error)

    def invoke(self, ctx: Any) -> Any:
        """Find the command, read its options, run it."""
        try:
            return super().invoke(ctx)
        except USAGE as error:
            _refuse(error.ctx or ctx, error)


def _refuse(ctx: Any, error: Any) -> NoReturn:
    message = " ".join(error.format_message().split()).rstrip(".")
    typer.echo(f"rimaging: error: {message}: see {ctx.command_path} --help", err=True)
    raise typer.Exit(2) from None


app = typer.Typer(
    name="rimaging",
    cls=OneLine,
    help="Recurrent Inference Machines: undersampled MRI, blurred skies and noisy pictures in, "
    "better images out.",
    epilog="Try first: rimaging demo. RIMAGING_DEBUG=1 shows where an error arose.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"rimaging {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Options before any command; their callbacks do what they ask."""


def command(function: Callable[..., None]) -> Callable[..., None]:
    """Register a command whose errors and warnings are one line on stderr: never a traceback."""

    @wraps(function)
    def run(*args: Any, **options: Any) -> None:
        try:
            with warnings.catch_warnings():
                warnings.showwarning = _warn
                function(*args, **options)
        except typer.Exit:
            raise
        except BrokenPipeError:
            # Whoever read our output has left; nobody is there to be told.
            sys.stdout = open(os.devnull, "w")  # noqa: PTH123, SIM115
            raise typer.Exit(141) from None
        except KeyboardInterrupt:
            typer.echo("rimaging: interrupted", err=True)
            raise typer.Exit(130) from None
        except Exception as error:
            if os.environ.get("RIMAGING_DEBUG") == "1":
                raise
            _fail(error)

    return app.command()(run)


def _warn(message: Warning | str, *_: Any, **__: Any) -> None:
    """Without the line of code that it arose in, which means nothing to who runs a command."""
    typer.echo(f"rimaging: warning: {' '.join(str(message).split())}", err=True)


def _fail(error: Exception) -> NoReturn:
    code = 2
    if isinstance(error, RimagingError):
        message = str(error)
    elif isinstance(error, OSError) and error.strerror:
        what = Path(str(error.filename)).name if error.filename else "a file"
        message = f"{what}: {error.strerror}: check the path, its permissions and the free space"
    elif isinstance(error, ModuleNotFoundError) and error.name and _foreign(error.name):
        message = f"this needs {error.name}, which is not installed: {_install(error.name)}"
    elif isinstance(error, RuntimeError) and "home directory" in str(error):
        message = "this user has no home: set HOME to a folder that can be written"
    elif isinstance(error, MemoryError):
        message = "not enough memory: use a smaller input, or a machine with more"
    else:
        code = 1
        message = (
            f"{type(error).__name__}: {error}: this is a defect of rimaging; "
            "please report it with the output under RIMAGING_DEBUG=1"
        )
    typer.echo(f"rimaging: error: {' '.join(message.split())}", err=True)
    raise typer.Exit(code)


def _foreign(module: str) -> bool:
    return module.partition(".")[0] != "rimaging"


def _install(module: str) -> str:
    """How to get a package that an extra of rimaging names, or any other that is missing."""
    from importlib.metadata import PackageNotFoundError, requires

    name = module.partition(".")[0]
    try:
        wanted = requires("rimaging") or []
    except PackageNotFoundError:
        wanted = []
    for text in wanted:
        found = re.match(rf"{re.escape(name)}\b.*extra == ['\"](\w+)['\"]", text, re.IGNORECASE)
        if found:
            return f"pip install 'rimaging[{found.group(1)}]'"
    return "rimaging doctor says what to install"
