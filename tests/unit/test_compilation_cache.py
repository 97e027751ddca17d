"""Programs compiled by one process are there for the next."""

import os
import subprocess
import sys
from pathlib import Path

import jax
import pytest

from hyperopt_jax import _compilation_cache, cache_compilations
from hyperopt_jax.errors import SettingError

SETTINGS = ("jax_compilation_cache_dir", "jax_persistent_cache_min_compile_time_secs")

SCRIPT = """
import collections, sys
import jax
import hyperopt_jax as hj

hj.cache_compilations(sys.argv[1])
count = collections.Counter()
jax.monitoring.register_event_listener(lambda event, **_: count.update([event]))
state, search = hj.RandomSearch.init({"x": hj.LinearSpace(0.0, 1.0)})
search.optimize_scan(state, jax.random.key(0), lambda key, p: p["x"], 3)
print(*(count[f"/jax/compilation_cache/cache_{name}"] for name in ("hits", "misses")))
"""


@pytest.fixture(autouse=True)
def fresh_settings(monkeypatch, tmp_path):
    """JAX's own defaults before the test, and what they were after it.

    Nothing may be compiled in between: JAX would stay with the directory.
    """
    before = {name: getattr(jax.config, name) for name in SETTINGS}
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    for name, value in zip(SETTINGS, (None, 1.0), strict=True):
        jax.config.update(name, value)
    yield
    for name, value in before.items():
        jax.config.update(name, value)


def settings():
    return tuple(getattr(jax.config, name) for name in SETTINGS)


def test_the_next_process_finds_what_this_one_compiled(tmp_path):
    root = Path(__file__).parents[2]
    env = {**os.environ, "PYTHONPATH": str(root), "JAX_PLATFORMS": "cpu"}
    counts = []
    for _ in range(2):
        command = [sys.executable, "-c", SCRIPT, str(tmp_path / "cache")]
        output = subprocess.run(
            command, env=env, capture_output=True, text=True, check=True
        )
        counts.append(tuple(int(n) for n in output.stdout.split()))
    (_, compiled), second = counts
    assert compiled > 0
    assert second[1] == 0
    assert second[0] >= compiled


def test_a_given_directory_is_made_and_set(tmp_path):
    path = tmp_path / "a" / "b"
    assert cache_compilations(path) == str(path)
    assert path.is_dir()
    assert settings() == (str(path), 0.0)
    assert cache_compilations(path) == cache_compilations() == str(path)
    assert settings() == (str(path), 0.0)


def test_the_users_directory_and_threshold_stay(tmp_path):
    jax.config.update("jax_compilation_cache_dir", str(tmp_path / "own"))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.3)
    assert cache_compilations() == str(tmp_path / "own")
    assert settings() == (str(tmp_path / "own"), 0.3)
    assert cache_compilations(tmp_path / "other") == str(tmp_path / "other")


def test_addresses_are_left_to_jax():
    assert cache_compilations("gs://bucket/cache") == "gs://bucket/cache"
    assert settings()[0] == "gs://bucket/cache"


def test_a_tilde_is_the_home_directory(tmp_path):
    assert cache_compilations("~/programs") == str(tmp_path / "programs")


@pytest.mark.parametrize(
    ("platform", "variable", "value", "expected"),
    [
        ("linux", None, None, ".cache"),
        ("linux", "XDG_CACHE_HOME", "relative", ".cache"),
        ("linux", "XDG_CACHE_HOME", "{home}/xdg", "xdg"),
        ("darwin", "XDG_CACHE_HOME", "{home}/xdg", "Library/Caches"),
        ("win32", "LOCALAPPDATA", "{home}/local", "local"),
        ("win32", "LOCALAPPDATA", "", "AppData/Local"),
    ],
)
def test_the_default_is_where_the_system_keeps_caches(
    platform, variable, value, expected, tmp_path, monkeypatch
):
    monkeypatch.setattr(_compilation_cache.sys, "platform", platform)
    if variable:
        monkeypatch.setenv(variable, value.format(home=tmp_path))
    path = cache_compilations()
    assert path == str(tmp_path / expected / "hyperopt_jax" / "jax")
    assert Path(path).is_dir()


def test_a_directory_that_cannot_be_made_is_one_sentence(tmp_path):
    (tmp_path / "file").touch()
    for path in (tmp_path / "file", tmp_path / "file" / "below", "nul\0byte"):
        with pytest.raises(SettingError, match=r"^expected a directory .* got '"):
            cache_compilations(path)
    with pytest.raises(SettingError, match=r"expected a path .* got 3"):
        cache_compilations(3)
    assert settings() == (None, 1.0)


def test_a_directory_without_permission_is_an_error(tmp_path, monkeypatch):
    monkeypatch.setattr(_compilation_cache.os, "access", lambda path, mode: False)
    with pytest.raises(SettingError, match="no permission to write there"):
        cache_compilations(tmp_path)
