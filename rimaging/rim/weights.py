"""Weights: safetensors files with a card inside, by name, path or URL; never a pickle."""

from __future__ import annotations

import hashlib
import json
import re
import tempfile
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import torch
from torch import Tensor

from rimaging.errors import WeightsError
from rimaging.rim.config import RIMConfig
from rimaging.rim.rim import RIM

SHIPPED = Path(__file__).parent / "weights"
LARGEST = 2**30
"""Bytes above which a file is no weights of ours; refused before it is read."""


def shipped() -> list[str]:
    """Names of the weights that come with the package."""
    return sorted(path.stem for path in SHIPPED.glob("*.safetensors"))


def load_weights(source: str | Path, sha256: str | None = None) -> tuple[RIM, dict[str, Any]]:
    """Load a RIM and its card.

    Args:
        source: a shipped name (`shipped`), a path to a ``.safetensors`` file, or an ``https`` URL.
        sha256: hex digest that the file must have; required for a URL.

    Raises:
        WeightsError: an unknown name, a file that is no safetensors or not a RIM's, values that are
            not finite, or another digest than the given one.
    """
    path = locate(str(source), sha256)
    digest = file_sha256(path)
    if sha256 is not None and digest != sha256.lower():
        raise WeightsError(
            f"{source} has sha256 {digest}, expected {sha256}: fetch it again from a trusted source"
        )
    tensors, metadata = read_tensors(path)
    try:
        card: dict[str, Any] = json.loads(metadata["card"])
        known = {field.name for field in fields(RIMConfig)}
        settings = card["model"]
        unknown = sorted(settings.keys() - known)
        if unknown:
            raise WeightsError(
                f"{source} was made by another version (unknown settings {', '.join(unknown)}): "
                "update rimaging or train again"
            )
        with torch.random.fork_rng(devices=[]):  # the weights drawn first are none of the user's
            rim = RIM(RIMConfig(**settings))
        rim.load_state_dict(tensors)
    except (AttributeError, KeyError, TypeError, ValueError, RuntimeError) as error:
        raise WeightsError(
            f"{source} holds no RIM ({type(error).__name__}): give a file made by `rimaging train`"
        ) from None
    card["sha256"] = digest
    return rim.eval().requires_grad_(False), card


def save_weights(rim: RIM, path: Path, card: dict[str, Any]) -> None:
    """Write weights with a card: what they are, what they were trained on, their figures."""
    card = card | {"model": asdict(rim.config), "parameters": count_parameters(rim)}
    write_tensors(path, dict(rim.state_dict()), {"card": json.dumps(card, sort_keys=True)})


def count_parameters(rim: RIM) -> int:
    """The number of trained values."""
    return sum(parameter.numel() for parameter in rim.parameters())


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Read a safetensors file: its tensors and its metadata; every value must be finite."""
    from safetensors import SafetensorError, safe_open

    if path.suffix != ".safetensors":
        raise WeightsError(
            f"{path.name} is no .safetensors file: pickled weights are never read; export them"
        )
    if not path.is_file():
        raise WeightsError(f"no weights at {path}: check the path, or see `rimaging weights`")
    if path.stat().st_size > LARGEST:
        raise WeightsError(
            f"{path.name} has {path.stat().st_size} bytes, above {LARGEST}: no weights"
        )
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise WeightsError(f"{path.name} is damaged ({reason}): fetch it again") from None
    bad = [name for name, tensor in tensors.items() if not bool(torch.isfinite(tensor).all())]
    if bad:
        raise WeightsError(f"{path.name} has values that are not finite in {bad[0]}: train again")
    return tensors, metadata


def write_tensors(path: Path, tensors: dict[str, Tensor], metadata: dict[str, str]) -> None:
    """Write a safetensors file under a temporary name and rename it."""
    from safetensors.torch import save

    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.part")
    kept = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    # written here and not by safetensors, whose files nobody else may read
    temporary.write_bytes(save(kept, metadata=metadata))
    temporary.replace(path)


def file_sha256(path: Path) -> str:
    """Hex digest of a file; an absent one is a `WeightsError`."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise WeightsError(f"no weights at {path} ({error.strerror}): check the path") from None


def locate(source: str, sha256: str | None = None) -> Path:
    """The file of a shipped name, a path or a URL; raises as `load_weights` does."""
    if source in shipped():
        return SHIPPED / f"{source}.safetensors"
    if urlsplit(source).scheme in {"http", "https", "ftp", "file"}:
        return _fetch(source, sha256)
    path = Path(source).expanduser()
    if not path.exists() and not path.suffix:
        known = ", ".join(shipped()) or "none"
        raise WeightsError(f"no weights named {source!r}: known are {known}; or give a path or URL")
    return path


def _fetch(url: str, sha256: str | None) -> Path:
    """Download once into the user's cache, named by its digest."""
    import os
    import urllib.error
    import urllib.request

    if not url.startswith("https://"):
        raise WeightsError(f"{url} is not https: weights are fetched over https only")
    if sha256 is None or not re.fullmatch(r"[0-9a-fA-F]{64}", sha256):
        raise WeightsError(f"weights from a URL need their sha256 (64 hex digits), got {sha256}")
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "rimaging"
    target = cache / f"{sha256.lower()}.safetensors"
    if target.is_file() and file_sha256(target) == sha256.lower():
        return target
    cache.mkdir(parents=True, exist_ok=True)
    try:
        with (
            urllib.request.urlopen(url, timeout=60) as answer,
            tempfile.NamedTemporaryFile(dir=cache, delete=False) as file,
        ):
            file.write(answer.read(LARGEST))
    except (urllib.error.URLError, OSError) as error:
        raise WeightsError(f"cannot fetch {url} ({error}): check the network") from None
    fetched = Path(file.name)
    digest = file_sha256(fetched)
    if digest != sha256.lower():
        fetched.unlink()
        raise WeightsError(f"{url} has sha256 {digest}, expected {sha256}: do not trust it")
    return fetched.replace(target)
