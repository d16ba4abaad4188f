"""Build the wheel, install it outside the checkout, and compare what it holds with what git tracks.

Catches broken links and forgotten packages: a checkout without links builds a wheel that lacks them without a word.
"""

import subprocess
import sys
import tempfile
import venv
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LINKED = ("models", "metrics", "datamodules", "configs")


def call(*words: str, cwd: Path) -> str:
    return subprocess.run(words, cwd=cwd, check=True, capture_output=True, text=True).stdout


def main() -> None:
    tracked = {Path(name) for name in call("git", "ls-files", "dubbench", *LINKED, cwd=ROOT).splitlines()}
    wanted = {
        str(path if path.parts[0] == "dubbench" else Path("dubbench") / path)
        for path in tracked
        if path.suffix in {".py", ".yaml", ".csv", ".typed"}
    }
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        call(sys.executable, "-m", "build", "--wheel", "--outdir", str(folder), str(ROOT), cwd=folder)
        (wheel,) = folder.glob("*.whl")
        held = {entry for entry in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in entry}
        if held != wanted:
            sys.exit(f"wheel and checkout differ: missing {sorted(wanted - held)}, more {sorted(held - wanted)}")
        # The dependencies are those that the tests use; what is tried is whether the wheel needs the checkout.
        venv.create(folder / "env", system_site_packages=False, with_pip=True)
        python = folder / "env" / "bin" / "python"
        call(str(python), "-m", "pip", "install", "--quiet", "--no-deps", str(wheel), cwd=folder)
        site = call(sys.executable, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=folder).strip()
        own = call(str(python), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=folder).strip()
        # A plain path: the .pth files of that folder, one of which names the checkout, are not read through it.
        Path(own, "dependencies.pth").write_text(f"{site}\n")
        where = call(str(python), "-c", "import dubbench.models; print(dubbench.models.__file__)", cwd=folder)
        if not Path(where.strip()).resolve().is_relative_to(Path(own).resolve()):
            sys.exit(f"the import came from {where.strip()}, not from the wheel")
        for words in (["--version"], ["--help"], ["prepare", "--help"], ["fit", "--help"], ["eval", "--help"]):
            call(str(folder / "env" / "bin" / "dubbench"), *words, cwd=folder)
    print(f"the wheel holds all {len(wanted)} files of the checkout, and runs without it")


if __name__ == "__main__":
    main()
