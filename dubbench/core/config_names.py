"""Short names on the command line: the stems of the files in ``configs/``, and the variants of ``configs/ablation``."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from dubbench.errors import DubbenchError

CONFIGS = Path(__file__).parent.parent / "configs"
KINDS = {"--model": "model", "--data": "data", "--dataset": "data"}


def names(kind: str, suffix: str = "yaml") -> list[str]:
    """Short names one can give: the files in ``configs/<kind>``, of models also the variants of ablations."""
    found = {path.stem for path in (CONFIGS / kind).glob(f"*.{suffix}")}
    return sorted(found | set(variants()) if kind == "model" else found)


def resolve(kind: str, value: str) -> str:
    """Turn ``radio`` into the path of ``configs/model/radio.yaml``; class paths and files stay as they are.

    A variant of an ablation, which has no file, becomes its contents as JSON, which a parser takes as well.

    Raises:
        DubbenchError: if ``value`` looks like a short name and there is none such; the known ones are listed.
    """
    if not value.isidentifier() or value != value.lower():
        return value
    path = CONFIGS / kind / f"{value}.yaml"
    if path.is_file():
        return str(path)
    if kind == "model" and (variant := variants().get(value)):
        return json.dumps(variant)
    word = "dataset" if kind == "data" else kind
    raise DubbenchError(f"no {word} is called {value!r}; there are {', '.join(names(kind))}")


def read(kind: str, value: str) -> dict[str, Any]:
    """Contents of a config by its short name, or by its file where it has none.

    Raises:
        DubbenchError: if there is none such.
    """
    found = resolve(kind, value)
    try:
        text = found if found.startswith("{") else Path(found).read_text(encoding="utf-8")
        contents: dict[str, Any] = yaml.safe_load(text)
    except (OSError, yaml.YAMLError) as error:
        raise DubbenchError(f"{value} is no {kind} config: {error}") from error
    return contents


def data_words(dataset: str, root: Path | str) -> list[str]:
    """Words that name a prepared folder to `fit` and `eval`; its root only where the dataset's config has another."""
    words = ["--dataset", dataset]
    if dataset in names("data") and Path(read("data", dataset)["init_args"]["root"]) == Path(root):
        return words
    return [*words, "--dataset.root", str(root)]


def variants() -> dict[str, dict[str, Any]]:
    """Model configs that the tables of ``configs/ablation`` make, by name: the method's own, changed."""
    found: dict[str, dict[str, Any]] = {}
    for path in sorted((CONFIGS / "ablation").glob("*.yaml")):
        table = yaml.safe_load(path.read_text(encoding="utf-8"))
        whole = yaml.safe_load((CONFIGS / "model" / f"{table['method']}.yaml").read_text(encoding="utf-8"))
        shared = merged(whole["init_args"], table.get("base", {}))
        for name, changes in table.get("variants", {}).items():
            found[name] = {**whole, "init_args": merged(shared, changes)}
    return found


def merged(values: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Options with changes; of a group of options only those that are named change."""
    groups = {name: merged(values.get(name, {}), own) for name, own in changes.items() if isinstance(own, Mapping)}
    return {**values, **changes, **groups}


def class_of_model(value: str) -> str:
    """The class path that ``--model`` stands for: of a short name, a YAML file, or itself.

    Raises:
        DubbenchError: if there is no such name or file, or the file names no class.
    """
    found = resolve("model", value)
    if not found.endswith((".yaml", ".yml", "}")):
        return found
    if found.endswith((".yaml", ".yml")) and not Path(found).is_file():
        raise DubbenchError(f"--model {value} is not there; give a method's short name or leave it out")
    contents = read("model", value)
    if not isinstance(contents, dict) or "class_path" not in contents:
        raise DubbenchError(f"--model {value} names no class; write class_path into the file")
    return str(contents["class_path"])


def expand(args: Iterable[str]) -> list[str]:
    """Resolve the short names on a command line, and read ``--dataset`` as ``--data``."""
    out: list[str] = []
    for arg in args:
        flag, equals, value = arg.partition("=")
        out += [flag, value] if equals and flag in KINDS else [arg]
    for i, flag in enumerate(out[:-1]):
        if flag in KINDS:
            out[i + 1] = resolve(KINDS[flag], out[i + 1])
    return ["--data" + arg[9:] if arg == "--dataset" or arg.startswith("--dataset.") else arg for arg in out]


def value_of(args: Iterable[str], flag: str) -> str | None:
    """The value that a command line gives to ``flag``, before any parser has seen it."""
    args = list(args)
    for i, arg in enumerate(args):
        if arg == flag and i + 1 < len(args):
            return args[i + 1]
        if arg.startswith(flag + "="):
            return arg.partition("=")[2]
    return None


def label(args: Iterable[str], flag: str) -> str:
    """What to call the thing that a command line gives to ``flag``: a short name, a file's stem or a class's name."""
    value = value_of(args, flag) or flag.lstrip("-")
    return Path(value).stem if value.endswith((".yaml", ".yml")) else value.rpartition(".")[2].lower()
