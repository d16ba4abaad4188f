"""Which first guess the face geometry of a prepared folder starts from: one for all its clips, and recorded."""

import json
from dataclasses import dataclass
from pathlib import Path

from dubbench.assets import store
from dubbench.core.files import sha256, write_json
from dubbench.datamodules.geometry import model_path
from dubbench.errors import DubbenchError
from dubbench.face3d.d3dfr import FILE, load_d3dfr

DIGEST = "d3dfr_sha256"


@dataclass(frozen=True)
class FirstGuess:
    """Where first coefficients come from.

    Attributes:
        words: that, for the report of a run; empty where there is only the closed form.
        weights: file of D3DFR's network; None for the closed form.
        digest: sha256 of that file; empty for the closed form.
    """

    words: str = ""
    weights: Path | None = None
    digest: str = ""


def record_path(root: Path) -> Path:
    """Where a prepared folder says what its Basel face model's coefficients started from."""
    return model_path(root, "bfm").with_suffix(".json")


def settled_guess(root: Path, source: str, file: Path | None = None) -> FirstGuess:
    """The first guess that a prepared folder goes on with, or begins with if it has no face model yet.

    A folder with a face model keeps the guess of its record. One without begins with D3DFR's network where the
    user's own copy of ``epoch_20.pth`` is: beside the face model's file, or among the assets. Nothing is written.

    Args:
        root: prepared folder, or one that is not there yet.
        source: ``mesh``, ``ict`` or ``bfm``; only ``bfm`` has a network.
        file: of the face model, or its folder.

    Raises:
        DubbenchError: if the network's file is damaged or another one, or is not the one that the folder began with.
    """
    if source != "bfm":
        return FirstGuess()
    path = _own_network(file)
    begun = model_path(root, source)
    if not begun.is_file():
        return FirstGuess("closed form") if path is None else _network(path, sha256(path))
    digest = _recorded(root)
    anew = f"remove {begun} to fit all clips anew"
    if not digest:
        return FirstGuess("closed form" if path is None else f"closed form as before; {anew} from {FILE}")
    if path is None:
        raise DubbenchError(
            f"the clips of {root} were fitted from the first guess of a {FILE} that is not here; put it into "
            f"{store.folders()[-1]}, name the folder that holds it in DUBBENCH_ASSETS, or {anew} without it"
        )
    if sha256(path) != digest:
        raise DubbenchError(
            f"{path} is not the {FILE} that the clips of {root} were fitted from; bring that one back, or {anew}"
        )
    return _network(path, digest)


def record_guess(root: Path, source: str, guess: FirstGuess) -> None:
    """Keep the guess of a folder that has no face model yet, to be called before it gets one."""
    if source == "bfm" and not model_path(root, source).is_file():
        write_json(record_path(root), {DIGEST: guess.digest})


def _network(path: Path, digest: str) -> FirstGuess:
    load_d3dfr(path)  # what is wrong with it is said now, once, and not by every clip
    return FirstGuess(f"{FILE} of D3DFR", path, digest)


def _own_network(file: Path | None) -> Path | None:
    """The user's copy of the network's file, None if there is none."""
    beside = [] if file is None else [file if file.is_dir() else file.parent]
    return next((path for folder in (*beside, *store.folders()) if (path := folder / FILE).is_file()), None)


def _recorded(root: Path) -> str:
    """The digest in the record of a folder that has a face model; a folder without a record began in closed form."""
    path = record_path(root)
    try:
        return str(json.loads(path.read_text(encoding="utf-8"))[DIGEST])
    except FileNotFoundError:
        return ""
    except (ValueError, KeyError, TypeError) as error:
        raise DubbenchError(
            f"{path} is damaged ({error}); remove {model_path(root, 'bfm')} to fit all clips anew"
        ) from error
