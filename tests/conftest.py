"""Strict switches for every test: promotions, ranks, warnings (see pyproject.toml)."""

import os

# JAX's factorisations on CPU run in BLAS threads, which fight over a busy machine.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")
# Most of the time goes into machine code that runs once or twice: without optimisation it
# takes half as long to make, by XLA's older emitters, in one piece and without kernels for
# parts of sums a third less again.
# One step may then round in another way in another program, and long runs are slow:
# `XLA_FLAGS= pytest -m optimised` tests what users run.
os.environ.setdefault(
    "XLA_FLAGS",
    "--xla_backend_optimization_level=0 --xla_cpu_use_fusion_emitters=false "
    "--xla_cpu_parallel_codegen_split_count=1 "
    "--xla_disable_hlo_passes=tree_reduction_rewriter",
)

import jax
import pytest

jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_numpy_rank_promotion", "raise")


@pytest.fixture
def x64():
    """Runs the test in double precision."""
    with jax.enable_x64(True):
        yield


@pytest.fixture(autouse=True, scope="module")
def forget_compiled_programs():
    """A process may map only so many pieces of code: thousands of programs exceed it."""
    yield
    jax.clear_caches()
