"""Imports: `import mmt` is light, packages import only those before them, and there are no circles."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

# The order of packages (docs/modules.md): each imports only those before it.
PACKAGES = ("representation", "music", "model", "sampling", "corpus", "training", "analysis", "studio", "cli")
HEAVY = (
    *("torch", "numba", "llvmlite", "muspy", "lightning", "matplotlib", "symusic", "music21"),
    *("joblib", "mido", "pretty_midi", "yaml", "h5py"),
)
# The only packages that may import these libraries, anywhere in a module.
ONLY_IN = {"lightning": {"training"}, "matplotlib": {"music", "analysis"}}

MODULES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted((ROOT / "mmt").rglob("*.py"))
}


def is_type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)


def imports_of(module: str, *, inside_functions: bool) -> set[str]:
    """The modules that a module imports when it is imported; with `inside_functions`, also those imported later."""
    found: set[str] = set()

    def visit(node: ast.AST) -> None:
        if is_type_checking(node):
            return
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and not inside_functions:
            return
        if isinstance(node, ast.Import):
            found.update(name.name for name in node.names)
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}: a relative import"
            assert node.module is not None
            found.add(node.module)
            found.update(full for name in node.names if (full := f"{node.module}.{name.name}") in MODULES)
        for child in ast.iter_child_nodes(node):
            visit(child)

    visit(ast.parse(MODULES[module].read_text(encoding="utf-8")))
    return found


def test_importing_mmt_loads_no_heavy_library() -> None:
    code = f"import sys, mmt; dir(mmt); print(*(name for name in {HEAVY} if name in sys.modules))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert result.stdout.split() == []
    assert result.stderr == ""


@pytest.mark.parametrize(
    ("module", "absent"),
    [
        ("mmt.representation", ("torch", "muspy", "lightning", "matplotlib", "symusic", "music21")),
        ("mmt.sampling.model", ("muspy", "lightning", "matplotlib", "symusic", "music21")),
        ("mmt.corpus.storage", ("muspy", "lightning", "matplotlib", "symusic", "music21")),
        ("mmt.training.recipe", ("muspy", "lightning", "matplotlib", "symusic", "music21")),
    ],
)
def test_packages_do_not_import_libraries_that_they_do_not_need(module: str, absent: tuple[str, ...]) -> None:
    code = f"import sys, {module}; print(*(name for name in {absent} if name in sys.modules))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert result.stdout.split() == []


def test_loading_a_model_does_not_load_a_compiler_of_pytorch() -> None:
    code = "import mmt, sys; mmt.load_model(); print('torch._dynamo' in sys.modules)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert result.stdout.split() == ["False"]


@pytest.mark.parametrize("module", [module for module in MODULES if module != "mmt"])
def test_packages_import_only_packages_before_them(module: str) -> None:
    place = PACKAGES.index(module.split(".")[1])
    for name in imports_of(module, inside_functions=True):
        if name.startswith("mmt."):
            assert PACKAGES.index(name.split(".")[1]) <= place, f"{module} imports {name}, which comes after it"
        if name.startswith("mmt.studio"):
            assert module.startswith(("mmt.studio", "mmt.cli")), f"{module} imports the studio"
        # Commands come last: they may use the whole library through `import mmt`.
        if name == "mmt":
            assert module.startswith("mmt.cli"), f"{module} imports the whole of mmt"
        for package, homes in ONLY_IN.items():
            if name.split(".")[0] == package:
                assert module.split(".")[1] in homes, f"{module} imports {package}"


def test_there_is_no_import_circle() -> None:
    waiting = {
        module: {name for name in imports_of(module, inside_functions=False) if name in MODULES and name != module}
        for module in MODULES
    }
    # A package's own __init__ re-exports its modules; importing one of them runs it first, which is no circle.
    for module, needed in waiting.items():
        needed -= {".".join(module.split(".")[:depth]) for depth in range(1, module.count(".") + 1)}
    while free := [module for module, needed in waiting.items() if not needed]:
        for module in free:
            del waiting[module]
        for needed in waiting.values():
            needed.difference_update(free)
    assert not waiting, f"modules that wait for each other: {sorted(waiting)}"
