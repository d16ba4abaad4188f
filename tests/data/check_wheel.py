"""Build the wheel, install it outside the checkout, and compare what it holds with what git tracks.

Catches broken links and forgotten packages: a checkout without links builds a wheel that lacks them without a word.
"""

import ast
import re
import shutil
import subprocess
import sys
import tempfile
import venv
import zipfile
from pathlib import Path

import numpy as np

from tests import ROOT, talking

PACKAGED = {".py", ".pyi", ".yaml", ".csv", ".html", ".css", ".js", ".typed"}
LINKED = ("models", "metrics", "datamodules", "configs")


def call(*words: str, cwd: Path) -> str:
    return subprocess.run(words, cwd=cwd, check=True, capture_output=True, text=True).stdout


def score_as_the_readme(python: Path, folder: Path) -> str:
    """Run the README's Python example on two videos; it must do without models and Trainer."""
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    (script,) = (block for block in blocks if "sys.argv" in block)
    frames = list(talking.frames("ann/two"))
    talking.write(folder / "target.mkv", frames)
    talking.write(folder / "pred.mkv", [np.asarray(frame // 2 + 60, np.uint8) for frame in frames])
    heavy = "print(sorted({'lightning', 'torchvision', 'mediapipe', 'dubbench.models'} & sys.modules.keys()))"
    said, loaded = call(str(python), "-c", f"{script}\n{heavy}", "pred.mkv", "target.mkv", cwd=folder).splitlines()
    values = ast.literal_eval(said)
    if loaded != "[]" or not (10 < values["psnr"] < 40 and 0.5 < values["ms_ssim"] < 1):
        sys.exit(f"the README's script gave {said} and imported {loaded}")
    return said


def main() -> None:
    tracked = {Path(name) for name in call("git", "ls-files", "dubbench", *LINKED, cwd=ROOT).splitlines()}
    wanted = {
        str(path if path.parts[0] == "dubbench" else Path("dubbench") / path)
        for path in tracked
        if path.suffix in PACKAGED
    }
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        # setuptools puts into a wheel what an earlier build left, files that were moved since among it.
        shutil.rmtree(ROOT / "build", ignore_errors=True)
        call(sys.executable, "-m", "build", "--wheel", "--outdir", str(folder), str(ROOT), cwd=folder)
        (wheel,) = folder.glob("*.whl")
        held = {entry for entry in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in entry}
        if held != wanted:
            sys.exit(f"wheel and checkout differ: missing {sorted(wanted - held)}, more {sorted(held - wanted)}")
        # The dependencies are those that the tests use; what is tried is whether the wheel needs the checkout.
        venv.create(folder / "env", system_site_packages=False, with_pip=True)
        python = folder / "env" / "bin" / "python"
        call(str(python), "-m", "pip", "install", "--quiet", "--no-deps", str(wheel), cwd=folder)
        bare = subprocess.run([str(python), "-m", "dubbench", "doctor"], cwd=folder, capture_output=True, text=True)
        if bare.returncode != 1 or "torch is missing" not in bare.stdout or "Traceback" in bare.stderr:
            sys.exit(f"with nothing but the wheel, dubbench doctor ended with {bare.returncode}: {bare.stderr}")
        site = call(sys.executable, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=folder).strip()
        own = call(str(python), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=folder).strip()
        # A plain path: the .pth files of that folder, one of which names the checkout, are not read through it.
        Path(own, "dependencies.pth").write_text(f"{site}\n")
        where = call(str(python), "-c", "import dubbench.models; print(dubbench.models.__file__)", cwd=folder)
        if not Path(where.strip()).resolve().is_relative_to(Path(own).resolve()):
            sys.exit(f"the import came from {where.strip()}, not from the wheel")
        for words in (
            ["--version"],
            ["--help"],
            ["prepare", "--help"],
            ["fit", "--help"],
            ["eval", "--help"],
            ["doctor", "--help"],
        ):
            call(str(folder / "env" / "bin" / "dubbench"), *words, cwd=folder)
        print("README's script says", score_as_the_readme(python, folder))
    print(f"the wheel holds all {len(wanted)} files of the checkout, and runs without it")


if __name__ == "__main__":
    main()
