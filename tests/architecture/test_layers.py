"""The house keeps its shape: layers, privacy, no cycles. Read from the source alone."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "hyperopt_jax"

# A room may import the rooms above its own line, and its own files.
LAYERS = [
    {"errors", "_warn"},
    {
        *("_checks", "_numerics", "_progress"),
        *("_blas_threads", "_compilation_cache", "_quick_compile", "_lean_jit"),
    },
    {"spaces", "history", "kernels", "gp", "pareto"},
    {"acquisition", "maximise", "_best", "_evaluate", "_drive", "base", "problems"},
    {"grid", "random", "bayesian"},
    {"integrations"},
    {"_demo"},
    {"__main__", "__init__"},
]
INSIDE_A_LAYER = {
    ("_progress", "_checks"),
    ("_blas_threads", "_checks"),
    ("_quick_compile", "_checks"),
    ("gp", "kernels"),
    ("base", "_best"),
    ("_drive", "_evaluate"),
    ("base", "_drive"),
    ("base", "_evaluate"),
}
FORBIDDEN = ("jax._src", "equinox.internal", "jax.experimental")


def files():
    return sorted(PACKAGE.rglob("*.py"))


def room_of(path: Path) -> str:
    first = path.relative_to(PACKAGE).parts[0]
    return first.removesuffix(".py")


def imports(path: Path, run_time_only: bool = True):
    """Dotted names of what a file imports, type-checking blocks left out."""
    tree = ast.parse(path.read_text())
    if run_time_only:
        for node in ast.walk(tree):
            if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
                node.body = [ast.Pass()]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def rooms_imported(path: Path) -> set[str]:
    names = [n.split(".") for n in imports(path) if n.startswith("hyperopt_jax.")]
    rooms = {
        parts[1]
        for parts in names
        if (PACKAGE / parts[1]).exists() or (PACKAGE / f"{parts[1]}.py").exists()
    }
    return rooms - {room_of(path)}


def level(room: str) -> int:
    found = [i for i, layer in enumerate(LAYERS) if room in layer]
    assert found, f"the room {room!r} stands in no layer"
    return found[0]


@pytest.mark.parametrize("path", files(), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_point_up_the_layers(path):
    own = room_of(path)
    for other in rooms_imported(path):
        allowed = level(other) < level(own) or (own, other) in INSIDE_A_LAYER
        assert allowed, f"{own} imports {other}, which is not above it"


@pytest.mark.parametrize("path", files(), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_no_private_imports_and_no_asserts(path):
    for name in imports(path, run_time_only=False):
        assert not name.startswith(FORBIDDEN), f"{path.name} imports {name}"
    asserts = [
        n for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.Assert)
    ]
    assert not asserts, f"{path.name} asserts; raise one of our own errors"


def test_no_import_cycles():
    graph = {room_of(p): set() for p in files()}
    for path in files():
        graph[room_of(path)] |= rooms_imported(path)
    done: set[str] = set()

    def visit(room: str, trail: tuple[str, ...]) -> None:
        assert room not in trail, f"import cycle: {' -> '.join((*trail, room))}"
        if room not in done:
            for other in graph[room]:
                visit(other, (*trail, room))
            done.add(room)

    for room in graph:
        visit(room, ())


def test_files_stay_small():
    long = {p.name: n for p in files() if (n := p.read_text().count("\n")) > 600}
    assert not long, f"these files want a second room: {long}"
