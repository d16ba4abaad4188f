"""The map for people who carry on: it names what is there, and tools run what `make` and CI run."""

import re
import runpy
from pathlib import Path

import yaml

from dubbench import __version__
from tests import ROOT

MAP = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
# Whole in a sentence, or in the table of wishes below a folder that stands before it.
PATH = re.compile(r"`((?:dubbench|metrics|models|datamodules|configs|tests|benchmarks|docs|[a-z0-9_]+)/[\w./]*)`")


def test_the_map_names_every_folder() -> None:
    tree = MAP.partition("## The tree")[2].partition("## The way of a frame")[0]
    here = {path.name for path in (ROOT / "dubbench").iterdir() if path.is_dir() and not path.is_symlink()}
    here = {f"dubbench/{name}/" for name in here - {"__pycache__"}} | {
        "models/",
        "metrics/",
        "datamodules/",
        "configs/",
    }
    assert here - set(re.findall(r"^\| `([^`]+)`", tree, re.MULTILINE)) == set()


def test_the_map_names_nothing_that_is_not_there() -> None:
    named = {path for path in PATH.findall(MAP) if not re.search("METHOD|NAME", path)}
    assert len(named) > 50
    missing = {
        name
        for name in named
        if not any((base / name).exists() for base in (ROOT, ROOT / "dubbench", ROOT / "datamodules", ROOT / "configs"))
    }
    assert missing == set()


def test_hooks_run_what_make_runs() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    commands = re.findall(r"^\t\$\(BIN\)/((?:ruff|mypy).*)$", makefile, re.MULTILINE)
    config = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))
    hooks = [hook["entry"].removeprefix(".venv/bin/") for repo in config["repos"] for hook in repo["hooks"]]
    assert hooks == commands


def test_the_workflow_runs_what_ci_runs() -> None:
    jobs = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text(encoding="utf-8"))["jobs"]
    assert [step["run"] for job in jobs.values() for step in job["steps"] if "run" in step] == [".ci/run"]


def test_issue_templates_ask_for_something() -> None:
    for path in (ROOT / ".github/ISSUE_TEMPLATE").glob("*_*.yml"):
        form = yaml.safe_load(path.read_text(encoding="utf-8"))
        assert any(field.get("validations", {}).get("required") for field in form["body"]), path.name
        if path.name != "new_method.yml":
            assert "Output of `dubbench doctor`" in [field["attributes"]["label"] for field in form["body"]], path.name


def test_the_citation_is_of_this_version() -> None:
    assert yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))["version"] == __version__


def test_set_up_tells_what_pip_is_at(tmp_path: Path) -> None:
    install = runpy.run_path(str(ROOT / ".ci/install.py"))["Installation"](tmp_path)
    site = tmp_path / "lib/python3.11/site-packages"
    (site / "pip-26.dist-info").mkdir(parents=True)
    said = []
    for line in (
        "Collecting torch==2.15.0 (from dubbench==0.1.0)",
        "  Downloading https://some.where/packages/torch-2.15.0-cp311-manylinux_x86_64.whl (899 MB)",
        "Progress 450000000 of 899000000",
        "Collecting insightface==2.1",
        "  Building wheel for insightface (pyproject.toml): started",
        "Installing collected packages: numpy, torch, insightface",
    ):
        install.read(line)
        said.append(install.now())
    (site / "numpy-2.dist-info").mkdir()
    assert [*said, install.now()] == [
        "1 packages found, looking for packages",
        "1 packages found, fetching torch",
        "1 packages found, fetching torch, 450 of 899 MB",
        "2 packages found, fetching torch, 450 of 899 MB",
        "2 packages found, building insightface",
        "0 of 3 packages installed",
        "1 of 3 packages installed",
    ]
