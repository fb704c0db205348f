"""A saved model: a folder of ``model.safetensors`` and ``model.json``, written whole and verified when read.

Nothing in it is a pickle and nothing in it is executed: the numbers are safetensors, the rest is JSON with a format
version, and the class is looked up in reverie's own registry. Both files carry checksums, so damage and careless
edits are found; they are no signature against somebody who recomputes them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import torch
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from reverie import files
from reverie.errors import CorruptFileError, DataError, UsageError

T = TypeVar("T")

FORMAT = 1
"""Version of the model folder and of checkpoints. A newer reverie reads every older one."""


class Contents(BaseModel):
    """What a model is beside its tensors: its name, its constructor's arguments, and what fitting gave it."""

    model_config = ConfigDict(extra="forbid", strict=True)

    model: str
    parameters: dict[str, Any]
    fitted: dict[str, Any]


class Saved(Contents):
    """What ``model.json`` holds."""

    format: int = Field(ge=1, le=FORMAT)
    reverie: str = Field(pattern=r"^[0-9A-Za-z.+-]+$")
    tensors: dict[str, str]
    sha256: str


def save_model(path: Path, saved: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
    """Write the model folder ``path``; an older one there is replaced whole.

    Args:
        path: the folder to make.
        saved: ``reverie``, ``model``, ``parameters`` and ``fitted`` of :class:`Saved`.
        tensors: the model's numbers.

    Raises:
        UsageError: ``path`` is a folder of something else.
        OSError: as the system reports it, with the old folder untouched.
    """

    if path.is_dir() and any(path.iterdir()) and not (path / "model.json").is_file():
        raise UsageError(f"{path}: this folder holds something that is not a model; save into a new one")

    def fill(folder: Path) -> None:
        digest = write_tensors(folder / "model.safetensors", tensors, {})
        body = {"format": FORMAT, **saved, "tensors": {"model.safetensors": digest}}
        text = json.dumps({**body, "sha256": _digest_of_json(body)}, indent=2, ensure_ascii=False)
        files.write_atomic(folder / "model.json", text + "\n")

    files.write_folder(path, fill)


def read_model(path: Path) -> tuple[Saved, dict[str, Tensor]]:
    """Read and verify a model folder.

    Raises:
        DataError: there is no such folder.
        CorruptFileError: a file is missing, damaged, edited, or of a newer format.
    """
    path = files.present(path)
    if not path.is_dir():
        raise DataError(f"{path}: no such model folder; a model is saved as a folder with model.json in it")
    saved = _read_json(path / "model.json")
    tensors, digest, _ = read_tensors(path / "model.safetensors")
    if saved.tensors.get("model.safetensors") != digest:
        raise CorruptFileError(f"{path / 'model.safetensors'}: its checksum is not the one in model.json")
    return saved, tensors


def checksum(path: Path) -> str:
    """That of the tensors of a model folder, as its ``model.json`` has it; :func:`read_model` verifies it.

    Raises:
        CorruptFileError: ``model.json`` is missing, damaged, or of a newer format.
    """
    return _read_json(path / "model.json").tensors.get("model.safetensors", "")


def write_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> str:
    """Write a safetensors file whole, with a checksum of its content inside; returns that checksum."""
    content = {
        name: t.detach().cpu().clone(memory_format=torch.contiguous_format) for name, t in sorted(tensors.items())
    }
    digest = _digest_of_tensors(content, metadata)
    with files.pending(path) as temporary:
        # One entry: the library writes several in an order that changes from process to process.
        header = json.dumps({**metadata, "format": FORMAT, "sha256": digest}, sort_keys=True)
        save_file(content, temporary, {"reverie": header})
        temporary.chmod(0o644)  # the library makes it private to its owner
    return digest


def read_tensors(path: Path) -> tuple[dict[str, Tensor], str, dict[str, str]]:
    """Tensors, checksum and metadata of a file that :func:`write_tensors` wrote.

    Raises:
        CorruptFileError: the file is missing, is no safetensors file (a pickle, say), or its content is not what
            was written.
    """
    if not path.is_file():
        raise CorruptFileError(f"{path}: the file is missing")
    try:
        with safe_open(path, framework="pt") as file:
            metadata = json.loads((file.metadata() or {}).get("reverie", "{}"))
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  (no mapping)
    except (SafetensorError, OSError, ValueError, RuntimeError) as error:
        raise CorruptFileError(
            f"{path}: not a readable safetensors file ({error}); reverie reads no pickles"
        ) from error
    if not isinstance(metadata, dict) or metadata.pop("format", None) not in range(1, FORMAT + 1):
        raise CorruptFileError(
            f"{path}: its format version is none of 1 to {FORMAT}; a newer reverie may have written it"
        )
    digest = metadata.pop("sha256", "")
    if digest != _digest_of_tensors(tensors, metadata):
        raise CorruptFileError(f"{path}: its content does not match its checksum; it was damaged or edited")
    return tensors, digest, metadata


def read_json_file(path: Path) -> Any:
    """Parsed JSON of one of reverie's own files.

    Raises:
        CorruptFileError: the file is missing or is no JSON.
    """
    try:
        return json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise CorruptFileError(f"{path}: not a readable JSON file ({error})") from error


def parsed(kind: type[T], content: Any, path: Path) -> T:
    """The content of one of reverie's own JSON files as the dataclass or pydantic model that it should be.

    Raises:
        CorruptFileError: names the file and the first entry that is not what it should be.
    """
    try:
        return TypeAdapter(kind).validate_python(content)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the whole"
        raise CorruptFileError(f"{path}: {where}: {first['msg']}") from error


def _read_json(path: Path) -> Saved:
    content = read_json_file(path)
    if isinstance(content, dict) and isinstance(content.get("format"), int) and content["format"] > FORMAT:
        raise CorruptFileError(
            f"{path}: written in format {content['format']} by a newer reverie; this one reads {FORMAT}"
        )
    saved = parsed(Saved, content, path)
    body = {key: value for key, value in content.items() if key != "sha256"}
    if _digest_of_json(body) != saved.sha256:
        raise CorruptFileError(f"{path}: its content does not match its checksum; it was damaged or edited")
    return saved


def _digest_of_json(body: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()


def _digest_of_tensors(tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> str:
    digest = hashlib.sha256(json.dumps(dict(metadata), sort_keys=True).encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.reshape(-1).contiguous().view(torch.uint8).numpy().data)
    return digest.hexdigest()
