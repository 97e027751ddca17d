"""The test problems: are the optima, the formulas and the moves what they claim?"""

import itertools
import math

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import minimize

from hyperopt_jax import problems
from hyperopt_jax.errors import HyperoptError, ParamsError, SettingError
from hyperopt_jax.problems import Problem, all_problems
from hyperopt_jax.spaces import LinearSpace

KINDS = [type(problem) for problem in all_problems()]
SCALABLE = [kind for kind in KINDS if kind.max_dim is None]
N_POINTS = 4096


@pytest.fixture(autouse=True)
def strict():
    with jax.numpy_dtype_promotion("strict"), jax.numpy_rank_promotion("raise"):
        yield


@pytest.fixture(params=[False, True], ids=["float32", "float64"])
def x64(request):
    with jax.enable_x64(request.param):
        yield request.param


@pytest.fixture
def double():
    with jax.enable_x64(True):
        yield


def each(kinds=KINDS):
    return pytest.mark.parametrize("kind", kinds, ids=lambda kind: kind.__name__)


def make(kind: type[Problem], dim: int = 5) -> Problem:
    return kind(kind.nearest_dim(dim))


@eqx.filter_jit
def values(problem: Problem, points):
    return jax.vmap(problem.value)(points)


@eqx.filter_jit
def value_and_grad(problem: Problem, point):
    return jax.value_and_grad(problem.value)(point)


def tolerance(problem: Problem, dtype) -> float:
    """A few last digits of the largest term of these functions near the optimum."""
    return 64 * float(jnp.finfo(dtype).eps) * max(1.0, abs(problem.optimum))


def box_points(problem: Problem, stretch: float = 1.0, n: int = N_POINTS):
    """Uniform points of the box, blown up about its middle."""
    unit = np.random.default_rng(0).uniform(-0.5, 0.5, (n, problem.dim)) * stretch
    low, high = np.asarray(problem.lower), np.asarray(problem.upper)
    return jnp.asarray((low + high) / 2 + unit * (high - low), problem.shift.dtype)


def both(kind: type[Problem]) -> list[Problem]:
    """The problem as published and moved."""
    return [make(kind), make(kind).moved(jax.random.key(3))]


# ── which problems there are ────────────────────────────────────────────────────────


def test_every_public_class_is_found_once():
    exported = {
        thing
        for thing in vars(problems).values()
        if isinstance(thing, type) and issubclass(thing, Problem)
    }
    assert exported - {Problem} == set(KINDS)
    assert len(KINDS) == len(set(KINDS)) >= 14


@pytest.mark.parametrize("dim", [1, 2, 5, 12])
def test_all_problems_come_as_near_to_dim_as_they_can(dim):
    for problem in all_problems(dim):
        kind = type(problem)
        if kind.max_dim is None:
            assert problem.dim == max(dim, kind.min_dim)
        else:
            assert kind.min_dim <= problem.dim <= kind.max_dim


def test_a_subclass_made_elsewhere_is_not_listed():
    class Tilted(problems.Sphere):
        pass

    assert Tilted(3).optimum == 0
    assert Tilted not in [type(problem) for problem in all_problems()]


def test_problem_is_abstract():
    with pytest.raises(TypeError):
        Problem(2)


@each()
def test_facts(kind):
    problem = kind()
    assert problem.dim == kind.nearest_dim(2)
    assert isinstance(problem.optimum, float)
    assert len(problem.source) > 20
    assert problem.lower.shape == problem.upper.shape == (problem.dim,)
    assert (problem.lower < problem.upper).all()
    assert problem.noise is None
    assert problem.shift.tolist() == [0.0] * problem.dim
    assert (problem.rotation == jnp.eye(problem.dim)).all()


# ── the optimum ─────────────────────────────────────────────────────────────────────


@each()
def test_value_at_the_optimizer_is_the_optimum(kind, x64):
    for problem in both(kind):
        value, _ = value_and_grad(problem, problem.optimizer)
        assert value.shape == ()
        assert value.dtype == (jnp.float64 if x64 else jnp.float32)
        assert not value.weak_type
        assert abs(float(value) - problem.optimum) <= tolerance(problem, value.dtype)


@each()
def test_gradient_vanishes_at_the_optimizer(kind, double):
    for problem in both(kind):
        _, gradient = value_and_grad(problem, problem.optimizer)
        np.testing.assert_allclose(gradient, 0, atol=1e-9)


@each()
def test_no_point_is_below_the_optimum(kind, x64):
    # Also far outside the box, where the corners of a turned box may lie.
    for problem in both(kind):
        for stretch in (1.0, 4.0):
            found = values(problem, box_points(problem, stretch))
            assert jnp.isfinite(found).all()
            assert found.min() >= problem.optimum - tolerance(problem, found.dtype)


@each()
def test_descent_does_not_get_below_the_optimum(kind, double):
    for problem in both(kind):
        box = list(zip(problem.lower.tolist(), problem.upper.tolist(), strict=True))
        near = problem.optimizer + 1e-3 * (problem.upper - problem.lower)
        for start in [near, *box_points(problem, n=5)]:
            end = minimize(
                lambda x, p=problem: [np.asarray(t) for t in value_and_grad(p, x)],
                np.asarray(start),
                jac=True,
                bounds=box,
                method="L-BFGS-B",
            )
            assert end.fun >= problem.optimum - 1e-9 * max(1, abs(problem.optimum))


@each(SCALABLE)
@pytest.mark.parametrize("dim", [2, 30, 200])
def test_optimum_is_right_in_other_dimensions(kind, dim):
    problem = kind(dim)
    points = box_points(problem, n=64).at[0].set(problem.optimizer)
    best, *others = values(problem, points).tolist()
    assert abs(best - problem.optimum) <= tolerance(problem, points.dtype)
    assert min(others) > problem.optimum


@each(SCALABLE)
def test_the_program_does_not_grow_with_the_dimension(kind):
    def n_steps(dim):
        problem = kind(dim)
        return len(jax.make_jaxpr(problem.value)(problem.optimizer).eqns)

    assert n_steps(50) == n_steps(5)


@pytest.mark.parametrize(
    ("problem", "published"),
    [
        (problems.Michalewicz(2), -1.8013034),
        (problems.Michalewicz(5), -4.687658),
        (problems.Michalewicz(10), -9.66015),
        (problems.StyblinskiTang(3), -39.16599 * 3),
        (problems.SixHumpCamel(), -1.0316285),
        (problems.Branin(), 0.397887),
        (problems.Hartmann3(), -3.86278),
        (problems.Hartmann6(), -3.32237),
    ],
    ids=lambda p: f"{type(p).__name__}{p.dim}" if isinstance(p, Problem) else "",
)
def test_optimum_is_the_published_one(problem, published):
    assert problem.optimum == pytest.approx(published, rel=1e-5)


def test_michalewicz_terms_are_largest_where_a_fine_grid_says():
    dim = 60
    grid = np.linspace(0, np.pi, 100_001)
    best = [
        np.max(np.sin(grid) * np.sin(i * grid**2 / np.pi) ** 20)
        for i in range(1, dim + 1)
    ]
    assert problems.Michalewicz(dim).optimum == pytest.approx(-sum(best), abs=1e-4)
    assert problems.Michalewicz(dim).optimum <= -sum(best)


def test_twin_optima(double):
    branin, camel = problems.Branin(), problems.SixHumpCamel()
    for twin in [(-math.pi, 12.275), (3 * math.pi, 2.475)]:
        assert branin.value(twin) == pytest.approx(branin.optimum, abs=1e-12)
    assert camel.value(-camel.optimizer) == pytest.approx(camel.optimum, abs=1e-12)


# ── the formulas, written a second time in plain Python ─────────────────────────────


def branin(x):
    t = 1 / (8 * math.pi)
    valley = x[1] - 5.1 / (4 * math.pi**2) * x[0] ** 2 + 5 / math.pi * x[0] - 6
    return valley**2 + 10 * (1 - t) * math.cos(x[0]) + 10


def hartmann(x, table):
    """`table`: a row for each bump, its A then its P (in 1e-4)."""
    total = 0.0
    for alpha, row in zip((1.0, 1.2, 3.0, 3.2), table, strict=True):
        half = len(row) // 2
        distance = 0.0
        for a, p, xi in zip(row[:half], row[half:], x, strict=True):
            distance += a * (xi - p / 10_000) ** 2
        total -= alpha * math.exp(-distance)
    return total


def hartmann3(x):
    return hartmann(
        x,
        [
            (3, 10, 30, 3689, 1170, 2673),
            (0.1, 10, 35, 4699, 4387, 7470),
            (3, 10, 30, 1091, 8732, 5547),
            (0.1, 10, 35, 381, 5743, 8828),
        ],
    )


def hartmann6(x):
    return hartmann(
        x,
        [
            (10, 3, 17, 3.5, 1.7, 8, 1312, 1696, 5569, 124, 8283, 5886),
            (0.05, 10, 17, 0.1, 8, 14, 2329, 4135, 8307, 3736, 1004, 9991),
            (3, 3.5, 1.7, 10, 17, 8, 2348, 1451, 3522, 2883, 3047, 6650),
            (17, 8, 0.05, 10, 0.1, 14, 4047, 8828, 8732, 5743, 1091, 381),
        ],
    )


def camel(x):
    a, b = x
    return 4 * a**2 - 2.1 * a**4 + a**6 / 3 + a * b - 4 * b**2 + 4 * b**4


def sphere(x):
    return math.fsum(t * t for t in x)


def ellipsoid(x):
    return math.fsum(1e6 ** (i / (len(x) - 1)) * t * t for i, t in enumerate(x))


def ackley(x):
    mean_square = sum(t * t for t in x) / len(x)
    mean_cosine = sum(math.cos(2 * math.pi * t) for t in x) / len(x)
    return (
        -20 * math.exp(-0.2 * math.sqrt(mean_square))
        - math.exp(mean_cosine)
        + 20
        + math.e
    )


def rosenbrock(x):
    pairs = itertools.pairwise(x)
    return sum(100 * (b - a * a) ** 2 + (1 - a) ** 2 for a, b in pairs)


def dixon_price(x):
    rest = (i * (2 * x[i - 1] ** 2 - x[i - 2]) ** 2 for i in range(2, len(x) + 1))
    return (x[0] - 1) ** 2 + sum(rest)


def levy(x):
    w = [1 + (t - 1) / 4 for t in x]
    total = math.sin(math.pi * w[0]) ** 2
    for t in w[:-1]:
        total += (t - 1) ** 2 * (1 + 10 * math.sin(math.pi * t + 1) ** 2)
    return total + (w[-1] - 1) ** 2 * (1 + math.sin(2 * math.pi * w[-1]) ** 2)


def rastrigin(x):
    return 10 * len(x) + sum(t * t - 10 * math.cos(2 * math.pi * t) for t in x)


def griewank(x):
    cosines = math.prod(math.cos(t / math.sqrt(i)) for i, t in enumerate(x, 1))
    return 1 + sum(t * t for t in x) / 4000 - cosines


def styblinski_tang(x):
    return 0.5 * sum(t**4 - 16 * t**2 + 5 * t for t in x)


def michalewicz(x):
    return -sum(
        math.sin(t) * math.sin(i * t * t / math.pi) ** 20 for i, t in enumerate(x, 1)
    )


FORMULAS = {
    problems.Branin: branin,
    problems.Hartmann3: hartmann3,
    problems.Hartmann6: hartmann6,
    problems.SixHumpCamel: camel,
    problems.Sphere: sphere,
    problems.Ellipsoid: ellipsoid,
    problems.Ackley: ackley,
    problems.Rosenbrock: rosenbrock,
    problems.DixonPrice: dixon_price,
    problems.Levy: levy,
    problems.Rastrigin: rastrigin,
    problems.Griewank: griewank,
    problems.StyblinskiTang: styblinski_tang,
    problems.Michalewicz: michalewicz,
}


@each(FORMULAS)
def test_values_are_those_of_the_formula(kind, double):
    problem = make(kind)
    points = box_points(problem, n=200)
    expected = [FORMULAS[kind](point) for point in points.tolist()]
    np.testing.assert_allclose(values(problem, points), expected, rtol=1e-9, atol=1e-9)


@each()
def test_float32_agrees_with_float64(kind):
    with jax.enable_x64(True):
        problem = make(kind).moved(jax.random.key(0))
        points = box_points(problem, n=200)
        exact = np.asarray(values(problem, points))
        rough = values(problem, points.astype(jnp.float32))
    assert rough.dtype == jnp.float32
    np.testing.assert_allclose(rough, exact, rtol=2e-3, atol=2e-3 * np.ptp(exact))


# ── moves ───────────────────────────────────────────────────────────────────────────


@each()
def test_moved_optimum_is_well_inside_the_box(kind):
    problem = make(kind)
    keys = jax.random.split(jax.random.key(1), 200)
    moved = jax.vmap(lambda key: problem.moved(key, rotate=False))(keys)
    low, high = np.asarray(problem.lower), np.asarray(problem.upper)
    where = (np.asarray(moved.optimizer) - low) / (high - low)
    assert where.min() >= 0.1 - 1e-5
    assert where.max() <= 0.9 + 1e-5
    np.testing.assert_allclose(where.mean(axis=0), 0.5, atol=0.08)
    assert where.std(axis=0).min() > 0.2


@each()
def test_moved_differs_elsewhere(kind):
    problem, key = make(kind), jax.random.key(2)
    points = box_points(problem, n=100)
    before = values(problem, points)
    for how in [{"rotate": False}, {"shift": False}, {}]:
        moved = problem.moved(key, **how)
        assert moved.optimum == problem.optimum
        if kind is not problems.Sphere or "shift" not in how:
            changed = ~jnp.isclose(values(moved, points), before, rtol=1e-5)
            assert changed.mean() > 0.5
    again = values(problem.moved(jax.random.key(9)), points)
    assert not jnp.allclose(again, values(problem.moved(key), points))


def test_shift_and_rotate_are_separate():
    problem, key = problems.Hartmann3(), jax.random.key(4)
    shifted = problem.moved(key, rotate=False)
    turned = problem.moved(key, shift=False)
    assert (shifted.rotation == problem.rotation).all()
    assert not jnp.isclose(shifted.optimizer, problem.optimizer).any()
    assert (turned.optimizer == problem.optimizer).all()
    assert not jnp.isclose(turned.rotation, problem.rotation).all()
    kept = problem.moved(key, shift=False, rotate=False)
    assert eqx.tree_equal(kept, problem)


def test_a_second_move_replaces_the_first(double):
    first, second = jax.random.split(jax.random.key(5))
    twice = problems.Levy(4).moved(first).moved(second)
    assert eqx.tree_equal(twice, problems.Levy(4).moved(second))
    turned = problems.Levy(4).moved(first).moved(second, shift=False)
    assert turned.value(turned.optimizer) == 0


@each()
def test_rotation_is_orthogonal(kind, x64):
    rotation = make(kind).moved(jax.random.key(6)).rotation
    identity = jnp.matmul(rotation, rotation.T, precision=jax.lax.Precision.HIGHEST)
    tol = 1e-12 if x64 else 1e-5
    np.testing.assert_allclose(identity, np.eye(rotation.shape[0]), atol=tol)


def test_a_turn_is_rigid_in_the_unit_cube_of_an_uneven_box(double):
    class Uneven(Problem):
        """Squared distance in the unit cube: a rigid turn there leaves it alone."""

        min_dim, max_dim = 2, 2
        box = ((0.0, -500.0), (1e-3, 500.0))
        source = "a test"
        optimum = 0.0
        published_optimizer = (5e-4, 100.0)

        def evaluate(self, x):
            away = x - jnp.asarray(self.published_optimizer, x.dtype)
            return jnp.sum((away / jnp.asarray([1e-3, 1e3], x.dtype)) ** 2)

    problem = Uneven()
    turned = problem.moved(jax.random.key(7), shift=False)
    points = box_points(problem, n=50)
    np.testing.assert_allclose(values(turned, points), values(problem, points))


@each()
def test_vmapped_moves_equal_single_ones(kind):
    keys = jax.random.split(jax.random.key(8), 3)
    stack = jax.vmap(lambda key: make(kind).moved(key))(keys)
    assert stack.optimum == make(kind).optimum
    points = box_points(make(kind), n=3)
    together = jax.jit(jax.vmap(lambda problem, x: problem.value(x)))(stack, points)
    for i, key in enumerate(keys):
        single = make(kind).moved(key)
        np.testing.assert_allclose(stack.optimizer[i], single.optimizer, rtol=1e-6)
        np.testing.assert_allclose(stack.rotation[i], single.rotation, atol=1e-5)
        alone = values(single, points)[i]
        np.testing.assert_allclose(together[i], alone, rtol=2e-3, atol=1e-3)


def test_a_moved_problem_is_no_new_program():
    n_traces = 0

    @jax.jit
    def value(problem, x):
        nonlocal n_traces
        n_traces += 1
        return problem.value(x)

    problem = problems.Ackley(4)
    for key in jax.random.split(jax.random.key(0), 3):
        value(problem.moved(key), problem.optimizer)
    value(problem, problem.optimizer)
    assert n_traces == 1


# ── the objective ───────────────────────────────────────────────────────────────────


@each()
def test_space_is_the_box(kind):
    problem = make(kind, dim=12)
    assert list(problem.space) == [f"x{i}" for i in range(problem.dim)]
    for i, leaf in enumerate(problem.space.values()):
        assert isinstance(leaf, LinearSpace)
        assert leaf.lower_bound == problem.lower[i]
        assert leaf.upper_bound == problem.upper[i]


@each()
def test_call_is_value_of_the_named_coordinates(kind):
    # 12 coordinates: as strings, "x10" sorts before "x2".
    problem = make(kind, dim=12).moved(jax.random.key(0))
    keys = jax.random.split(jax.random.key(1), problem.dim)
    params = {
        name: leaf.sample(key, (4,))
        for key, (name, leaf) in zip(keys, problem.space.items(), strict=True)
    }
    call = jax.jit(jax.vmap(problem, in_axes=(None, 0)))
    points = jnp.stack([params[f"x{i}"] for i in range(problem.dim)], axis=1)
    results = call(jax.random.key(2), params)
    assert results.dtype == points.dtype
    np.testing.assert_allclose(results, values(problem, points), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("number", [float, int, np.float32, np.float64, jnp.asarray])
def test_plain_numbers_as_params(number, x64):
    params = {"x0": number(1), "x1": number(2)}
    expected = branin([1.0, 2.0])
    assert problems.Branin()(None, params) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("point", [[1, 2], (1.0, 2.0), np.array([1.0, 2.0])])
def test_plain_sequences_as_points(point, x64):
    expected = branin([1.0, 2.0])
    assert problems.Branin().value(point) == pytest.approx(expected, rel=1e-5)


def test_noiseless_problem_ignores_the_key():
    problem, params = problems.Branin(), {"x0": 1.0, "x1": 2.0}
    assert problem(None, params) == problem(jax.random.key(0), params)


def test_noise_is_normal_with_the_given_deviation(x64):
    problem = problems.Branin().noisy(2.0)
    params = {"x0": jnp.asarray(1.0), "x1": jnp.asarray(2.0)}
    keys = jax.random.split(jax.random.key(0), 4000)
    results = jax.jit(jax.vmap(problem, in_axes=(0, None)))(keys, params)
    error = np.asarray(results - problem.value(jnp.asarray([1.0, 2.0]))) / 2.0
    assert abs(error.mean()) < 4 / math.sqrt(4000)
    assert error.std() == pytest.approx(1.0, rel=0.05)
    assert (np.abs(error) < 1).mean() == pytest.approx(0.683, abs=0.03)
    assert problem(keys[0], params) == problem(keys[0], params)
    assert problem.optimum == problems.Branin().optimum
    # `value` stays the truth.
    assert problem.value([1.0, 2.0]) == problems.Branin().value([1.0, 2.0])


def test_noise_is_data():
    stds = jnp.asarray([0.0, 1.0, 100.0])
    stack = jax.vmap(problems.Branin().noisy)(stds)
    key, params = jax.random.key(0), {"x0": 1.0, "x1": 2.0}
    results = jax.vmap(lambda problem: problem(key, params))(stack)
    truth = problems.Branin()(key, params)
    error = np.asarray(results - truth)
    assert error[0] == 0
    assert error[2] == pytest.approx(100 * error[1], rel=1e-3)
    moved = problems.Branin().noisy(0.5).moved(key)
    assert moved.noise == 0.5


# ── bad input ───────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("kind", "dim"),
    [
        (problems.Branin, 3),
        (problems.Branin, 1),
        (problems.Hartmann3, 2),
        (problems.Hartmann6, 7),
        (problems.SixHumpCamel, 4),
        (problems.Rosenbrock, 1),
        (problems.Ackley, 0),
        (problems.Ackley, -1),
        (problems.Ackley, 2.5),
        (problems.Ackley, True),
        (problems.Ackley, "5"),
    ],
)
def test_bad_dim(kind, dim):
    with pytest.raises(SettingError, match=r"^expected .*, got") as caught:
        kind(dim)
    assert repr(dim) in str(caught.value)
    assert kind.__name__ in str(caught.value)
    assert isinstance(caught.value, HyperoptError)
    assert isinstance(caught.value, ValueError)


@pytest.mark.parametrize("dim", [0, 1.5, None])
def test_all_problems_of_a_bad_dim(dim):
    with pytest.raises(SettingError, match=f"got {dim}"):
        all_problems(dim)


@pytest.mark.parametrize("std", [-1.0, math.nan, math.inf, "loud", [0.1, 0.2]])
def test_bad_noise(std):
    with pytest.raises(SettingError, match="std"):
        problems.Branin().noisy(std)


@pytest.mark.parametrize("shape", [(), (1,), (3,), (2, 2)])
def test_point_of_another_shape(shape):
    with pytest.raises(ParamsError, match=r"expected x of shape \(2,\)"):
        problems.Branin().value(jnp.zeros(shape))


def test_arguments_in_the_wrong_order():
    with pytest.raises(ParamsError, match="after the key"):
        problems.Branin()({"x0": 1.0, "x1": 2.0}, jax.random.key(0))


@pytest.mark.parametrize("key", [3, None, jax.random.split(jax.random.key(0), 2)])
def test_moved_by_no_key(key):
    with pytest.raises(ParamsError, match="expected one key"):
        problems.Branin().moved(key)


def test_params_of_another_space():
    with pytest.raises(ParamsError, match="got none for x1"):
        problems.Branin()(None, {"x0": 1.0, "lr": 2.0})
