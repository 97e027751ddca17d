"""Studies, and the trials of one study, spread over several devices.

Only a new process can be given more than one device on a CPU.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """
import jax
import numpy as np
from hyperopt_jax import BayesianSearch, LinearSpace, vectorised
from jax.sharding import Mesh, NamedSharding, PartitionSpec

devices = jax.devices()
assert len(devices) == 2
part = PartitionSpec("d")
mesh = Mesh(devices, ("d",))
spread = NamedSharding(mesh, part)
space = {"x": LinearSpace(-1.0, 1.0), "y": LinearSpace(-1.0, 1.0)}
state, search = BayesianSearch.tuned(space, n_max=12, n_parallel=2, n_warmup=10)


def objective(key, p):
    return -((p["x"] - 0.3) ** 2) - (p["y"] + 0.2) ** 2


def study(key):
    return search.optimize_scan(state, key, objective)[1][1].reshape(-1)


keys = jax.random.split(jax.random.key(0), 4)
here = jax.jit(jax.vmap(study))(keys)
away = jax.device_put(keys, spread)
sharded = jax.jit(jax.vmap(study))(away)
mapped = jax.shard_map(
    jax.vmap(study), mesh=mesh, in_specs=part, out_specs=part, check_vma=False
)
for results in (sharded, jax.jit(mapped)(away)):
    assert len(results.sharding.device_set) == 2
    # The design alone, and the two trials after it, before rounding is amplified.
    np.testing.assert_allclose(results, here, atol=2e-3)

seen = []


def on_both(func, keys, params):
    keys, params = jax.device_put((keys, params), spread)
    results = vectorised(func, keys, params)
    seen.append(len(results.sharding.device_set))
    return results


end, (_, alone) = search.optimize(state, keys[0], objective)
other, (_, spread_out) = search.optimize(state, keys[0], objective, evaluate=on_both)
assert seen == [2] * 6
np.testing.assert_allclose(spread_out, alone, atol=2e-3)

moved = jax.device_put(end, devices[1])
told = search.update_state(moved, keys[0], alone[0], search.get_next_params(state, keys[1]))
assert told.X.devices() == {devices[1]}
run, _ = search.optimize(jax.device_put(state, devices[1]), keys[0], objective, 2)
assert run.X.devices() == {devices[1]}
"""


@pytest.mark.slow
def test_studies_and_trials_on_two_devices():
    env = {
        **os.environ,
        "PYTHONPATH": str(Path(__file__).parents[2]),
        "JAX_PLATFORMS": "cpu",
        "XLA_FLAGS": f"{os.environ['XLA_FLAGS']} "
        "--xla_force_host_platform_device_count=2",
    }
    command = [sys.executable, "-c", SCRIPT]
    done = subprocess.run(command, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
