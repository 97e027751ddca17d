"""README, docs pages and docstrings run."""

import ast
import re
from pathlib import Path

import jax
import jax.numpy as jnp
import pytest

import hyperopt_jax as hj

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"^( *)```python\n(.*?)^ *```", re.S | re.M)
# This one compares a loop and a scan to the last bit.
EXACT = ROOT / "docs/content/concepts/study.md"
PAGES = [
    ROOT / "README.md",
    *(
        pytest.param(
            page, marks=pytest.mark.optimised if page == EXACT else pytest.mark.pages
        )
        for page in sorted((ROOT / "docs").rglob("*.md"))
    ),
]


def blocks(text: str) -> list[str]:
    found = []
    for indent, body in BLOCK.findall(text):
        found.append("\n".join(line.removeprefix(indent) for line in body.split("\n")))
    return found


@pytest.fixture
def plain_promotion(tmp_path, monkeypatch):
    """Users have JAX's own defaults, and pages write their files elsewhere."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    names = (
        "jax_compilation_cache_dir",
        "jax_persistent_cache_min_compile_time_secs",
    )
    before = {name: getattr(jax.config, name) for name in names}
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        yield
    for name, value in before.items():
        jax.config.update(name, value)


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_page_runs_from_top_to_bottom(page, plain_promotion):
    namespace: dict = {}
    for i, block in enumerate(blocks(page.read_text())):
        exec(compile(block, f"{page.name}, block {i}", "exec"), namespace)


def docstring_examples():
    for path in sorted((ROOT / "hyperopt_jax").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, (ast.ClassDef, ast.FunctionDef)):
                text = ast.get_docstring(node) or ""
                for i, block in enumerate(blocks(text)):
                    name = f"{path.stem}.{node.name}.{i}"
                    yield pytest.param(block, id=name)


@pytest.mark.slow
@pytest.mark.parametrize("block", list(docstring_examples()))
def test_docstring_example_runs(block, plain_promotion):
    space = {"x": hj.LinearSpace(0.0, 1.0)}
    state, optimizer = hj.RandomSearch.init(space)
    key = jax.random.key(0)
    func = lambda key, params: params["x"] * 1.0  # noqa: E731
    _, (params_hist, results_hist) = optimizer.optimize_scan(state, key, func, 3)
    from hyperopt_jax import problems

    namespace = {
        **vars(problems),
        **vars(hj),
        "hyperopt_jax": hj,
        "jax": jax,
        "jnp": jnp,
        "space": space,
        "state": state,
        "optimizer": optimizer,
        "key": key,
        "func": func,
        "params_hist": params_hist,
        "results_hist": results_hist,
    }
    exec(compile(block, "docstring", "exec"), namespace)


def test_the_readme_has_an_example_to_run():
    assert blocks((ROOT / "README.md").read_text())
