"""The API and the infrastructure import no torch, the API no numpy before it needs it, decoders no pydantic."""

import importlib.util
import pkgutil
import subprocess
import sys

PACKAGES = ("api", "core.schemas", "core.jobs", "core.storage", "core.broker", "core.runtime")
HEAVY = ("torch", "matplotlib", "worker")


def _modules(package: str) -> list[str]:
    spec = importlib.util.find_spec(package)
    assert spec is not None
    found = pkgutil.walk_packages(spec.submodule_search_locations, f"{package}.")
    names = [package, *(module.name for module in found if ".versions" not in module.name)]
    return [name for name in names if not name.endswith(("__main__", "migrations.env"))]


def test_no_module_without_torch_imports_it() -> None:
    """In a process of its own. A module is named if it is the first that imports something heavy."""
    modules = [_modules(package) for package in PACKAGES]
    assert all(len(names) > 3 for names in modules)
    names = [name for some in modules for name in some] + ["core.recipe.presets"]
    code = f"""if True:
        import importlib, sys
        import api.app
        assert "numpy" not in sys.modules, "the API would start later"
        for name in {names}:
            importlib.import_module(name)
            assert not [heavy for heavy in {HEAVY} if heavy in sys.modules], name
    """
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, timeout=90, check=False)
    assert done.returncode == 0, done.stderr


def test_a_decoder_imports_no_pydantic() -> None:
    """It would start half as fast."""
    code = "import sys, api.datasets.decoder_process; assert 'pydantic' not in sys.modules"
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, timeout=90, check=False)
    assert done.returncode == 0, done.stderr
