"""Short names on the command line: the stems of the files in ``configs/``, and the variants of ``configs/ablation``."""

import json
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

from dubbench.errors import DubbenchError, UsageError

CONFIGS = Path(__file__).parent.parent / "configs"
KINDS = {"--model": "model", "--data": "data", "--dataset": "data"}
# What names a whole, whose single options stand in words of their own such as --model.size.
WHOLES = ("--config", "--trainer", "--model", "--data")


def names(kind: str, suffix: str = "yaml") -> list[str]:
    """Short names one can give: the files in ``configs/<kind>``, of models also the variants of ablations."""
    found = {path.stem for path in (CONFIGS / kind).glob(f"*.{suffix}")}
    return sorted(found | set(variants()) if kind == "model" else found)


def resolve(kind: str, value: str) -> str:
    """Turn ``radio`` into the path of ``configs/model/radio.yaml``; class paths and files stay as they are.

    A variant of an ablation, which has no file, becomes its contents as JSON, which a parser takes as well; so do
    several datasets with commas between them.

    Raises:
        DubbenchError: if ``value`` looks like a short name and there is none such; the known ones are listed.
    """
    if kind == "data" and "," in value and all(part.strip().isidentifier() for part in value.split(",")):
        return json.dumps(_together([part.strip() for part in value.split(",")]))
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
    contents = json.loads(found) if found.startswith("{") else _contents(Path(found))
    if not isinstance(contents, dict) or "class_path" not in contents:
        raise DubbenchError(f"{value} is no {kind} config: it names no class; write class_path into the file")
    return contents


def _together(datasets: Sequence[str]) -> dict[str, Any]:
    """One data config of several datasets, by their short names; it validates as much as the one that does so most.

    Raises:
        DubbenchError: if one is not known, or they are configured otherwise in more than that, name and folder.
    """
    configs = [read("data", name) for name in datasets]
    several = {key: [config["init_args"][key] for config in configs] for key in ("root", "dataset")}
    most = {"val_windows": max(config["init_args"].get("val_windows", 0) for config in configs)}
    wholes = [{**config, "init_args": {**config["init_args"], **several, **most}} for config in configs]
    if any(whole != wholes[0] for whole in wholes):
        raise DubbenchError(
            f"the configs of {', '.join(datasets)} differ in more than name, folder and val_windows; write one YAML "
            "file for all of them, with lists of root and dataset"
        )
    return wholes[0]


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
        table = _contents(path)
        whole = _contents(CONFIGS / "model" / f"{table['method']}.yaml")
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
    return str(read("model", value)["class_path"])


def expand(args: Iterable[str]) -> list[str]:
    """Resolve the short names on a command line, read ``--dataset`` as ``--data``, and put wholes before their options.

    So words mean the same in any order: a parser takes what stands later for a change of what stands before, and a
    config or a whole data module that came last would silently undo the options before it.

    Raises:
        UsageError: if an option is given two values, of which one would be lost.
        DubbenchError: as `resolve`, or if a file that is named is no YAML file.
    """
    given: dict[str, list[str]] = {}
    several: list[tuple[str, list[str]]] = []
    for flag, *values in options(args):
        whole, dot, rest = flag.partition(".")
        whole = {"--dataset": "--data", "-c": "--config"}.get(whole, whole)
        if not dot and len(values) == 1:
            values = [resolve(KINDS[whole], values[0])] if whole in KINDS else values
            if whole in WHOLES and values[0].endswith((".yaml", ".yml")):
                _contents(Path(values[0]))
        name = whole + dot + rest
        # Configs stand on one another in their order, and an option with a plus adds to a list.
        if name == "--config" or name.endswith("+"):
            several.append((name, values))
        elif given.setdefault(name, values) != values:
            raise UsageError(f"{flag} is given as {' '.join(given[name])} and as {' '.join(values)}; give it once")
    places = {name: place for place, name in enumerate(WHOLES)}
    order = sorted([*given.items(), *several], key=lambda option: places.get(option[0], len(places)))
    return list(chain(*(_spelled(name, values) for name, values in order)))


def options(words: Iterable[str]) -> list[list[str]]:
    """Options with their values, as lists that begin with the option; words before the first have an empty one."""
    found: list[list[str]] = []
    for word in words:
        if word.startswith("--") or word == "-c":
            flag, equals, value = word.partition("=")
            found.append([flag, value] if equals else [flag])
        elif found:
            found[-1].append(word)
        else:
            found.append(["", word])
    return found


def _spelled(flag: str, values: Sequence[str]) -> list[str]:
    """Words of an option: a value that begins with a dash is tied to it, else it would be taken for an option."""
    if len(values) == 1 and values[0].startswith("-"):
        return [f"{flag}={values[0]}"]
    return [flag, *values] if flag else list(values)


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


def _contents(path: Path) -> Any:  # noqa: ANN401
    """What `read_yaml` reads; a broken installation, which `dubbench doctor` describes, may have no YAML."""
    from dubbench.core.documents import read_yaml

    return read_yaml(path)
