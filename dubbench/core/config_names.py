"""Short names on the command line: the stems of the files in ``configs/``."""

from collections.abc import Iterable
from pathlib import Path

from dubbench.errors import DubbenchError

CONFIGS = Path(__file__).parent.parent / "configs"
KINDS = {"--model": "model", "--data": "data", "--dataset": "data"}


def names(kind: str, suffix: str = "yaml") -> list[str]:
    """Short names one can give: the files in ``configs/<kind>``."""
    return sorted(path.stem for path in (CONFIGS / kind).glob(f"*.{suffix}"))


def resolve(kind: str, value: str) -> str:
    """Turn ``radio`` into the path of ``configs/model/radio.yaml``; class paths and files stay as they are.

    Raises:
        DubbenchError: if ``value`` looks like a short name and there is none such; the known ones are listed.
    """
    if not value.isidentifier() or value != value.lower():
        return value
    if value not in names(kind):
        word = "dataset" if kind == "data" else kind
        raise DubbenchError(f"no {word} is called {value!r}; there are {', '.join(names(kind))}")
    return str(CONFIGS / kind / f"{value}.yaml")


def class_of_model(value: str) -> str:
    """The class path that ``--model`` stands for: of a short name, a YAML file, or itself.

    Raises:
        DubbenchError: if there is no such name or file, or the file names no class.
    """
    import yaml

    found = resolve("model", value)
    if not found.endswith((".yaml", ".yml")):
        return found
    if not Path(found).is_file():
        raise DubbenchError(f"--model {value} is not there; give a method's short name or leave it out")
    contents = yaml.safe_load(Path(found).read_text(encoding="utf-8"))
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
