"""The map for people who carry on: it names what is there, and tools run what `make` and CI run."""

import re

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


def test_the_citation_is_of_this_version() -> None:
    assert yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))["version"] == __version__
