"""``dubbench doctor``: what it says here, in a bare environment, and where something is broken."""

import json
import os
import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest
import yaml

from dubbench.assets.registry import ROWS
from dubbench.cli import main
from dubbench.doctor import machine
from dubbench.doctor.files import COSTS
from dubbench.metrics.catalogue import DEFINITIONS
from tests import ROOT

# Networks that are trained here and have no published file.
OWN = {"sync_expert", "style_encoder"}
# What PyAV is without one of its encoders.
NO_ENCODER = """
import importlib.util, sys
from pathlib import Path
here = Path(__file__).parent
found = next(Path(p) / "av" for p in sys.path if (Path(p) / "av" / "about.py").exists() and Path(p) != here.parent)
spec = importlib.util.spec_from_file_location("av", found / "__init__.py", submodule_search_locations=[str(found)])
real = importlib.util.module_from_spec(spec)
sys.modules["av"] = real
spec.loader.exec_module(real)
opened = real.open
class Without:
    def __init__(self, container):
        self.container = container
    def __enter__(self):
        return self
    def __exit__(self, *exception):
        self.container.close()
    def add_stream(self, name, *args, **kwargs):
        if name == "libx264":
            raise ValueError("no encoder libx264")
        return self.container.add_stream(name, *args, **kwargs)
    def __getattr__(self, name):
        return getattr(self.container, name)
real.open = lambda *args, **kwargs: Without(opened(*args, **kwargs))
"""


def doctor(*paths: Path, words: tuple[str, ...] = (), **env: str) -> subprocess.CompletedProcess[str]:
    """The verb in a process of its own, with folders that stand before all others in Python's path."""
    path = os.pathsep.join([*map(str, paths), str(ROOT)])
    return subprocess.run(
        [sys.executable, *words, "-m", "dubbench", "doctor"],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": path, **env},
        cwd=paths[0],
    )


def shadow(folder: Path, package: str, source: str) -> Path:
    (folder / package).mkdir(parents=True)
    (folder / package / "__init__.py").write_text(source)
    return folder


def plain(text: str) -> str:
    """Text without its line breaks."""
    return " ".join(text.split())


def test_one_screen_says_what_is_missing_and_what_that_costs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / ".cache"))
    assets = tmp_path / ".cache/dubbench/assets"
    assets.mkdir(parents=True)
    (assets / "sfd_face.pth").write_bytes(b"cut short")
    assert main(["doctor"]) == 0
    told = capsys.readouterr()
    lines = told.out.splitlines()
    assert len(lines) <= 40
    assert max(map(len, lines)) <= 80
    text = plain(told.out)
    for row in ROWS:
        if row.name == "sfd_face.pth":
            assert f"broken sfd_face.pth (it has 9 bytes, not 89,844,381): {COSTS[row.name]}" in text
        elif row.name != "face_landmarker.task":
            assert f"missing {row.name}: {COSTS[row.name]}" in text
    assert "GB free in ~/.cache/dubbench" in text
    assert str(tmp_path) not in told.out
    assert re.search(r"FFmpeg [\d.]+ in PyAV \(libavcodec .*\): H.264 and AAC are written and read", text)
    assert "Nothing is missing that verbs cannot do without." in text
    assert told.err.startswith("next:    dubbench assets pull ")


def test_costs_name_the_metrics_and_the_models_that_need_a_file() -> None:
    assert set(COSTS) == {row.name for row in ROWS}
    words = {name: set(re.findall(r"\w+", cost)) for name, cost in COSTS.items()}
    named = set().union(*words.values()) & set(DEFINITIONS)
    assert named == {name for name, definition in DEFINITIONS.items() if {definition.network} - OWN - {""}}
    configs = {path.stem: yaml.safe_load(path.read_text()) for path in (ROOT / "configs/model").glob("*.yaml")}
    for file, key, value in (
        ("vgg19-dcbb9e9d.pth", "perceptual", "vgg19"),
        ("hubert-base-ls960.bin", "speech", "base"),
    ):
        need = {name for name, config in configs.items() if config["init_args"].get(key) == value}
        assert words[file] & set(configs) == need


def test_a_bare_environment_is_told_without_a_traceback(tmp_path: Path) -> None:
    needed = metadata.requires("dubbench") or []
    installed = tmp_path / "dubbench-0.1.0.dist-info"
    installed.mkdir()
    head = ["Metadata-Version: 2.1", "Name: dubbench", "Version: 0.1.0", "Provides-Extra: demo"]
    (installed / "METADATA").write_text("\n".join([*head, *(f"Requires-Dist: {line}" for line in needed), ""]))
    run = doctor(tmp_path, words=("-S",))
    text = plain(run.stdout)
    assert run.returncode == 1
    assert "Traceback" not in run.stderr
    assert max(map(len, run.stdout.splitlines())) <= 80
    names = [line.split(";")[0] for line in needed if "extra ==" not in line]
    assert len(names) > 20
    assert [name for name in names if re.split(r"[^\w.-]", name)[0] not in text] == []
    assert "torch is missing: nothing can be trained, scored or dubbed" in text
    assert "demo lacks espeakng-loader, scikit-image: dubbench demo cannot make its corpus; remedy: pip install" in text
    assert "Verbs cannot work here: torch, " in text
    assert run.stderr == "next:    pip install dubbench\n"


def test_ffmpeg_that_does_not_load(tmp_path: Path) -> None:
    run = doctor(shadow(tmp_path, "av", "raise ImportError('libavcodec.so.62: cannot open shared object file')"))
    text = plain(run.stdout)
    assert (run.returncode, "Traceback" in run.stderr) == (1, False)
    assert "FFmpeg PyAV cannot load its libraries: libavcodec.so.62: cannot open shared object file: no video" in text
    assert "Verbs cannot work here: av must be mended first." in text


def test_ffmpeg_without_an_encoder(tmp_path: Path) -> None:
    run = doctor(shadow(tmp_path, "av", NO_ENCODER))
    text = plain(run.stdout)
    assert (run.returncode, run.stderr.startswith("next:    pip install --force-reinstall")) == (1, True)
    assert "H.264 fails (ValueError: no encoder libx264): prepare, eval, dub and demo can write no video" in text
    assert "AAC" not in text


def test_torch_that_does_not_load(tmp_path: Path) -> None:
    run = doctor(shadow(tmp_path, "torch", "raise ImportError('libcudart.so.13: cannot open shared object file')"))
    assert (run.returncode, "Traceback" in run.stderr) == (1, False)
    said = "torch cannot be imported: ImportError: libcudart.so.13: cannot open shared object file: nothing can be"
    assert said in plain(run.stdout)


@pytest.mark.parametrize(
    ("count", "said"),
    [(1, "GPU Some GPU, 24576 MiB, 570.1; torch (built for cuda 12.8) uses 1 "), (0, "cuda 12.8, cannot use it; ")],
)
def test_a_gpu_and_what_torch_makes_of_it(count: int, said: str, tmp_path: Path) -> None:
    shadow(tmp_path, "torch", f"class cuda:\n    device_count = staticmethod(lambda: {count})\n")
    (tmp_path / "torch/version.py").write_text(
        "from typing import Optional\ncuda: Optional[str] = '12.8'\nhip = None\n"
    )
    program = tmp_path / "nvidia-smi"
    program.write_text("#!/bin/sh\necho 'Some GPU, 24576 MiB, 570.1'\n")
    program.chmod(0o755)
    run = doctor(tmp_path, PATH=f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    assert said in plain(run.stdout)
    assert run.returncode == 0


def test_cores_of_a_container(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "cpu.max").write_text("50000 100000\n")
    (tmp_path / "memory.max").write_text("1000000000\n")
    monkeypatch.setattr(machine, "CGROUP", tmp_path)
    assert main(["doctor"]) == 0
    text = plain(capsys.readouterr().out)
    assert re.search(r"cores \d+ of \d+ may be used, and a quota of 0\.5 ", text)
    assert ", 1.0 GB of it for this process," in text


def test_the_same_as_data(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["works"] is True
    assert found["facts"]["ffmpeg"]["faults"] == {}
    missing = {line["name"]: line for line in found["not_fine"] if line["topic"] == "assets"}
    line = missing["syncnet_v2.model"]
    assert (line["state"], line["remedy"]) == ("missing", "dubbench assets pull syncnet_v2.model")


def test_other_verbs_send_to_the_doctor(tmp_path: Path) -> None:
    shadow(tmp_path, "lightning", "import no_such_package_as_this")
    words = [sys.executable, "-m", "dubbench", "eval", "--dataset", "grid", "--videos", ".", "--quiet"]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)])}
    run = subprocess.run(words, capture_output=True, text=True, env=env, cwd=tmp_path)
    assert run.returncode == 1
    assert run.stderr == (
        "dubbench: no_such_package_as_this cannot be loaded (No module named 'no_such_package_as_this'); "
        "`dubbench doctor` says what is missing and how to get it\n"
    )
