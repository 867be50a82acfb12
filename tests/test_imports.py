"""The API and the infrastructure import no torch."""

import importlib.util
import pkgutil
import subprocess
import sys

import pytest

HEAVY = ("torch", "matplotlib", "worker")


def _modules(package: str) -> list[str]:
    spec = importlib.util.find_spec(package)
    assert spec is not None
    found = pkgutil.walk_packages(spec.submodule_search_locations, f"{package}.")
    return [package, *(module.name for module in found if ".versions" not in module.name)]


@pytest.mark.parametrize("package", ["api", "core.schemas", "core.jobs", "core.storage", "core.broker", "core.runtime"])
def test_nothing_in_the_package_brings_torch(package: str) -> None:
    names = [name for name in _modules(package) if not name.endswith(("__main__", "migrations.env"))]
    assert len(names) > 3
    _alone(*names)


def test_the_presets_bring_no_torch() -> None:
    _alone("core.recipe.presets")


def _alone(*names: str) -> None:
    """In a process of its own, importing `names` leaves what is heavy out."""
    code = f"import sys, {', '.join(names)}; print([name for name in {HEAVY} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (0, "[]\n"), done.stderr
