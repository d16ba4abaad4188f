"""Pretrained files: found, fetched, verified and read."""

import errno
import logging
import os
import zipfile
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePosixPath
from shutil import copyfileobj
from typing import TYPE_CHECKING, BinaryIO, Literal
from urllib.parse import urlsplit

from dubbench.assets.download import Progress, fetch, length, part_of
from dubbench.assets.registry import ROWS, Asset
from dubbench.core.files import atomic, sha256, write_text
from dubbench.core.folders import cache_folder
from dubbench.core.weights import refusal
from dubbench.errors import DubbenchError

if TYPE_CHECKING:
    import torch
    from torch import Tensor


@dataclass(frozen=True)
class Status:
    """What `status` and `verify` found.

    Attributes:
        asset: the row of the list.
        state: ``damaged`` is also another version.
        path: where the file lies, None if absent.
        fault: what is wrong with a damaged one.
    """

    asset: Asset
    state: Literal["here", "absent", "damaged"]
    path: Path | None = None
    fault: str = ""


ASSETS = {asset.name: asset for asset in ROWS}
NOT_HERE = "is not here"
UNWRITABLE = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST)


def folders() -> list[Path]:
    """Where assets are looked for: the folder that ``DUBBENCH_ASSETS`` names, then the user's cache."""
    named = os.environ.get("DUBBENCH_ASSETS")
    return [*([Path(named)] if named else []), cache_folder() / "assets"]


def get(name: str) -> Asset:
    """The row of the list with this name.

    Raises:
        DubbenchError: if there is none.
    """
    if name not in ASSETS:
        raise DubbenchError(f"no pretrained file is called {name!r}; there are {', '.join(ASSETS)}")
    return ASSETS[name]


def find(name: str) -> Path:
    """Path of the asset ``name``, its bytes verified.

    Raises:
        DubbenchError: if it is nowhere, or its size or sha256 is not the recorded one.
    """
    asset = get(name)
    path = _locate(asset)
    if path is None:
        raise DubbenchError(absent(asset))
    stat = path.stat()
    if fault := _fault_once(asset, path, stat.st_mtime_ns, stat.st_size):
        raise DubbenchError(damaged(asset, path, fault))
    return path


def status() -> list[Status]:
    """State of every asset by presence and size alone, which takes no time; `verify` reads the bytes."""
    return [_status(asset, _size_fault) for asset in ASSETS.values()]


def verify(name: str) -> Status:
    """State of the asset ``name``, every byte read.

    Raises:
        DubbenchError: if there is no such asset in the list.
    """
    return _status(get(name), _fault)


def absent(asset: Asset) -> str:
    """The sentence about a file that is not here: what wants it, and both remedies."""
    remedy = (
        f"its licence ({asset.licence}) makes every user bring an own copy: put it into {folders()[-1]}"
        if asset.manual
        else f"give `dubbench assets pull {asset.name}` to download it from {asset.urls[0]}"
    )
    return (
        f"{asset.name} for {asset.needed_by} {NOT_HERE}; {remedy}, or name the folder that holds it in DUBBENCH_ASSETS"
    )


def damaged(asset: Asset, path: Path, fault: str) -> str:
    """The sentence about a file that is not what the list says."""
    remedy = "bring it anew" if asset.manual else f"delete it and give `dubbench assets pull {asset.name}`"
    return f"{path} is damaged or another version: {fault}; {remedy}"


def _status(asset: Asset, check: Callable[[Asset, Path], str]) -> Status:
    path = _locate(asset)
    if path is None:
        return Status(asset, "absent")
    fault = check(asset, path)
    return Status(asset, "damaged" if fault else "here", path, fault)


def _locate(asset: Asset) -> Path | None:
    return next((path for folder in folders() if (path := folder / asset.name).is_file()), None)


@lru_cache
def _fault_once(asset: Asset, path: Path, changed: int, size: int) -> str:
    """`_fault`, once a process and version of the file: hashing the large ones takes seconds."""
    return _fault(asset, path)


def _fault(asset: Asset, path: Path) -> str:
    """What is wrong with the bytes at ``path``; empty if nothing is."""
    if fault := _size_fault(asset, path):
        return fault
    digest = sha256(path)
    expected = asset.digest or _recorded(asset, digest)
    return "" if digest == expected else f"its sha256 is {digest[:12]}..., not {expected[:12]}..."


def _size_fault(asset: Asset, path: Path) -> str:
    size = path.stat().st_size
    return f"it has {size:,} bytes, not {asset.size:,}" if asset.size and size != asset.size else ""


def _recorded(asset: Asset, digest: str) -> str:
    """The sha256 recorded when an asset of unknown digest was first used, which may be now."""
    record = folders()[-1] / f"{asset.name}.sha256"
    if not record.is_file():
        write_text(record, digest + "\n")
        logging.getLogger(__name__).warning(
            "no sha256 of %s is published: %s is recorded in %s and checked from now on", asset.name, digest, record
        )
    return record.read_text(encoding="utf-8").strip()


def pull(name: str, progress: Progress | None = None) -> Path:
    """Download the asset ``name`` into the user's cache and verify it; one that is here is left as it is.

    The file appears whole or not at all. What a stopped download left is taken up where it stopped. From an archive
    every asset is kept that it holds and that is not here.

    Args:
        name: of the asset.
        progress: told the bytes that are here and the bytes in all (None: not known).

    Raises:
        DubbenchError: if there is no such asset, every user must bring an own copy, no address gives the right bytes
            (each address with its reason), the cache cannot be written, or a damaged file in ``DUBBENCH_ASSETS`` would
            hide the new one.
    """
    asset = get(name)
    now = verify(name)
    target = folders()[-1] / name
    if now.state == "here" and now.path is not None:
        _use_up(asset, target)
        return now.path
    if asset.manual:
        raise DubbenchError(absent(asset))
    if now.path is not None and now.path != target:
        raise DubbenchError(f"{damaged(asset, now.path, now.fault)}; lying in DUBBENCH_ASSETS, it would hide a new one")
    reasons = []
    for url in asset.urls:
        try:
            _pull(url, asset, target, progress)
        except DubbenchError as error:
            reasons.append(str(error))
        except OSError as error:
            if error.errno not in UNWRITABLE:
                raise
            raise DubbenchError(
                f"{target.parent} cannot be written ({error}); name another place for caches in XDG_CACHE_HOME"
            ) from error
        else:
            return target
    raise DubbenchError(
        f"{name} could not be fetched ({' | '.join(reasons)}); give the command again when the network allows, "
        "or name a folder that holds the file in DUBBENCH_ASSETS"
    )


def _pull(url: str, asset: Asset, target: Path, progress: Progress | None) -> None:
    archive = _archive(url, asset)
    with part_of(target.with_name(archive) if archive else target) as part:
        if verify(asset.name).state == "here":  # while we waited, another process fetched it
            return
        if not (asset.digest or archive):
            part.truncate(0)  # nothing would tell if the rest came from another version
        resumed = length(part) > 0
        fault = _receive(url, asset, part=part, target=target, archive=bool(archive), progress=progress)
        if fault and resumed:
            fault = _receive(url, asset, part=part, target=target, archive=bool(archive), progress=progress)
        if fault:
            raise DubbenchError(f"what {url} sent is damaged and was deleted: {fault}")


def _receive(url: str, asset: Asset, part: BinaryIO, target: Path, archive: bool, progress: Progress | None) -> str:
    """Complete a part file and put what it holds in place, or say what was wrong with it; it is used up either way."""
    fetch(url, part, 0 if archive else asset.size, progress)
    if archive:
        fault = _extract(asset, part, target)
        if not fault:
            _extract_others(url, part, target)
    else:
        fault = _fault(asset, Path(part.name))
        if not fault:
            os.fsync(part.fileno())
            Path(part.name).replace(target)
            return ""
    part.truncate(0)
    return fault


def _archive(url: str, asset: Asset) -> str:
    """Name of the zip archive that an address of an asset leads to; empty if it is the asset itself."""
    name = PurePosixPath(urlsplit(url).path).name
    return name if asset.member and name.endswith(".zip") else ""


def _use_up(asset: Asset, target: Path) -> None:
    """Do what is left to do with archives that came whole before a pull was killed; half of one is left as it is."""
    for url in asset.urls:
        archive = _archive(url, asset)
        if archive and target.with_name(f".{archive}.part").is_file():
            with part_of(target.with_name(archive)) as part:
                if zipfile.is_zipfile(part):
                    _extract_others(url, part, target)
                    part.truncate(0)


def _extract_others(url: str, part: BinaryIO, target: Path) -> None:
    """Take out of an archive what else of the list it holds and is not here; what cannot be is left out."""
    for other in ASSETS.values():
        if url in other.urls and verify(other.name).state == "absent":
            _extract(other, part, target.with_name(other.name))


def _extract(asset: Asset, part: BinaryIO, target: Path) -> str:
    """Take an asset out of an archive, or say what is wrong.

    It gets the name in the list, never one from the archive, so it cannot leave the folder.
    """
    try:
        with zipfile.ZipFile(part) as archive, atomic(target) as path:
            with archive.open(_member(archive, asset)) as source, path.open("wb") as file:
                copyfileobj(source, file)
            if fault := _fault(asset, path):
                raise zipfile.BadZipFile(fault)
    # All that zipfile raises of damaged bytes: a wrong CRC, a broken stream, its end, an absent member, an unknown
    # compression, a password. Errors of the disk are none of these and go on.
    except (zipfile.BadZipFile, zlib.error, EOFError, KeyError, NotImplementedError, RuntimeError) as error:
        return f"{asset.name} cannot be taken from it ({error.args[0] if error.args else type(error).__name__})"
    return ""


def _member(archive: zipfile.ZipFile, asset: Asset) -> zipfile.ZipInfo:
    for info in archive.infolist():
        if PurePosixPath(info.filename).name == asset.member and asset.size in (0, info.file_size):
            return info
    raise KeyError(f"there is no {asset.member} of the right size")


def load_tensors(path: Path, map_location: "torch.device | str" = "cpu") -> "Mapping[str, Tensor]":
    """Read a file of named tensors, as ``torch.save(network.state_dict())`` writes it; no code in it is run.

    Args:
        path: of the file, in torch's present or old format.
        map_location: where the tensors go.

    Raises:
        DubbenchError: if it is truncated or damaged, or holds anything but named tensors.
    """
    import torch

    try:
        state = torch.load(path, map_location=map_location, weights_only=True)
    except Exception as error:
        raise DubbenchError(
            f"{path} is truncated, damaged or holds more than tensors ({refusal(error)}); fetch it again"
        ) from error
    named = isinstance(state, Mapping) and all(
        isinstance(name, str) and isinstance(value, torch.Tensor) for name, value in state.items()
    )
    if not named:
        raise DubbenchError(f"{path} holds more than named tensors; give a file that was saved from a state_dict")
    return dict(state)
