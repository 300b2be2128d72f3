"""The other way to install: a Python package with a console script."""

import shutil
import subprocess
import sys

import pytest

from tests.build.world import REPO, run
from vault_jwt_plugin._version import VERSION

pytestmark = pytest.mark.build


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """Install the package and its script into a folder, from a copy: setuptools litters."""
    folder = tmp_path_factory.mktemp("package")
    source = folder / "source"
    source.mkdir()
    for name in ("pyproject.toml", "README.md"):
        shutil.copy(REPO / name, source)
    shutil.copytree(
        REPO / "vault_jwt_plugin",
        source / "vault_jwt_plugin",
        ignore=shutil.ignore_patterns("__pycache__"),
    )
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    # Its dependencies are this environment's; nothing is fetched.
    options = ["--no-deps", "--no-index", "--no-build-isolation", "--root-user-action=ignore"]
    target = folder / "site"
    subprocess.run([*pip, *options, f"--target={target}", source], check=True)
    return target


def test_the_console_script(installed):
    script = installed / "bin" / "vault-jwt-plugin"
    done = run([sys.executable, script, "--version"], PYTHONPATH=str(installed))
    assert (done.returncode, done.stdout, done.stderr) == (0, f"vault-jwt-plugin v{VERSION}\n", "")


def test_every_package_is_in_it(installed):
    def modules(root):
        return {
            path.relative_to(root)
            for path in root.rglob("*")
            if path.suffix in {".py", ".pyi", ".typed"} and path.name != "__pycache__"
        }

    assert modules(installed / "vault_jwt_plugin") == modules(REPO / "vault_jwt_plugin")


def test_the_tests_are_not_in_it(installed):
    names = {path.name for path in installed.iterdir() if not path.name.endswith(".dist-info")}
    assert names == {"bin", "vault_jwt_plugin"}
