# SPDX-License-Identifier: Apache-2.0
"""The repository as a whole: pins, versions, licence lines, file sizes, nothing of one machine."""

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
MAX_LINES = 350

REGISTRY_HOSTS = ("pypi" + ".org", "pythonhosted" + ".org", "conda" + ".anaconda")
MACHINE_PATH = re.compile(r"(?<![\w.~$)}/-])/(?:home|root|tmp|work|Users)/\w")


@pytest.fixture(scope="module")
def files() -> list[Path]:
    """What git tracks or would track; an unpacked archive has no such list."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if listed.returncode or not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    return [path for name in listed.stdout.split("\0")[:-1] if (path := ROOT / name).is_file()]


def offenders(files: list[Path], pattern: re.Pattern[str]) -> list[str]:
    return [
        f"{path.relative_to(ROOT)}:{number}: {line}"
        for path in files
        for number, line in enumerate(path.read_text("utf-8", "replace").splitlines(), start=1)
        if pattern.search(line)
    ]


def test_no_package_registry_is_named(files):
    hosts = re.compile("|".join(re.escape(host) for host in REGISTRY_HOSTS))
    assert offenders(files, hosts) == []


def test_no_path_of_one_machine_is_named(files):
    assert offenders(files, MACHINE_PATH) == []


def test_python_files_name_their_licence(files):
    def head(path: Path) -> str:
        lines = path.read_text(encoding="utf-8").splitlines()
        return next((line for line in lines if not line.startswith("#!")), "")

    licence = "# SPDX-License-Identifier: Apache-2.0"
    assert [path for path in files if path.suffix == ".py" and head(path) != licence] == []


def test_python_files_are_small(files):
    """All but tables (no function, no class), where one more line costs a reader nothing."""

    def is_table(source: str) -> bool:
        code = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
        return not any(isinstance(node, code) for node in ast.walk(ast.parse(source)))

    python = {path: path.read_text(encoding="utf-8") for path in files if path.suffix == ".py"}
    lines = {str(path.relative_to(ROOT)): len(text.splitlines()) for path, text in python.items()}
    tables = {str(path.relative_to(ROOT)) for path, text in python.items() if is_table(text)}
    assert {name: n for name, n in lines.items() if n > MAX_LINES and name not in tables} == {}


def test_version_is_the_same_everywhere():
    version = tomllib.loads(read("pyproject.toml"))["project"]["version"]
    cited = re.search(r"^version: (\S+)$", read("CITATION.cff"), re.MULTILINE)
    newest = re.search(r"^## \[(.+?)\]", read("CHANGELOG.md"), re.MULTILINE)
    assert cited is not None
    assert newest is not None
    assert cited[1] == newest[1] == version


def test_every_dependency_is_pinned():
    checked = check_pins(ROOT)
    assert (checked.returncode, checked.stdout) == (0, "")


@pytest.mark.parametrize("dependency", ["flax", "pytest", "wandb", "hatchling"])
def test_a_missing_pin_is_named(tmp_path, dependency):
    kept = re.sub(rf'^ +"{dependency}==.*\n', "", read("pyproject.toml"), flags=re.MULTILINE)
    (tmp_path / "pyproject.toml").write_text(kept, encoding="utf-8")
    (tmp_path / ".ci").mkdir()
    (tmp_path / ".ci/pin.py").write_text(read(".ci/pin.py"), encoding="utf-8")
    checked = check_pins(tmp_path)
    assert checked.returncode == 1
    assert checked.stdout == f"no pin in pyproject.toml for {dependency}: run `make pins`\n"


def check_pins(root: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(root / ".ci/pin.py"), "--check"]
    return subprocess.run(command, capture_output=True, text=True)


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")
