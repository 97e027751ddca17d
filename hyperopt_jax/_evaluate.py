"""How a batch of trials is run: checks of the objective, and the evaluators.

An evaluator is any `(func, keys (q,), params) -> results (q,)`; the drivers take one as
an argument, and the optimizer never knows. The default vectorises a traced objective.
"""

import functools
import inspect
import traceback
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float, PRNGKeyArray, PyTree

from hyperopt_jax._checks import is_concrete
from hyperopt_jax._warn import warn
from hyperopt_jax.errors import HyperoptError, ObjectiveError, SettingError
from hyperopt_jax.spaces import as_table, decode_choices

Objective = Callable[[PRNGKeyArray, Any], Float[ArrayLike, ""]]
Results = Float[ArrayLike, " q"] | Sequence[float]
Evaluator = Callable[[Objective, PRNGKeyArray, PyTree], Results]

_NOT_TRACEABLE = (
    jax.errors.ConcretizationTypeError,
    jax.errors.TracerArrayConversionError,
    jax.errors.TracerIntegerConversionError,
    jax.errors.NonConcreteBooleanIndexError,
)

# What a random key is called where it comes second, which is the wrong place.
_NAMES_OF_KEYS = {"key", "rng", "rng_key", "prng_key"}

# What JAX says of a key that is indexed by a name, and of params in the place of a key.
_SIGNS_OF_SWAPPED = "does not support string indexing", "unexpected PRNG key type"

# Operations of objectives that may take long.
_LASTING = {
    "scan",
    "while",
    "dot_general",
    "ragged_dot_general",
    "conv_general_dilated",
}

# As many numbers in one array of an objective, all trials of a batch together, are data.
MAX_FORMULA_SIZE = 2**14


def check_objective(func: Any) -> None:
    """Raises `ObjectiveError` unless `func` can be called as `func(key, params)`.

    Warns where the signature cannot be read.
    """
    if not callable(func):
        raise ObjectiveError(
            f"expected the objective to be a function fn(key, config), got {func!r}"
        )
    try:
        signature = inspect.signature(func)
    except (TypeError, ValueError):
        warn(
            f"cannot read the signature of {func!r}; it will be called as "
            f"fn(key, config)",
            UserWarning,
        )
        return
    name = getattr(func, "__name__", repr(func))
    parameters = signature.parameters.values()
    kinds = inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD
    positional = [p.name for p in parameters if p.kind in kinds]
    takes_any = any(p.kind == inspect.Parameter.VAR_POSITIONAL for p in parameters)
    if len(positional) < 2 and not takes_any:
        raise ObjectiveError(
            f"expected the objective to have the signature fn(key, config), got "
            f"{name} with {len(positional)} positional parameter(s); add the key, used "
            f"or not"
        )
    first, second = [*positional, "", ""][:2]
    if second in _NAMES_OF_KEYS and first not in _NAMES_OF_KEYS:
        raise ObjectiveError(
            f"expected the objective to have the signature fn(key, config), got "
            f"{name}{signature}, whose key comes second; let the key come first"
        )
    try:
        signature.bind(None, None)
    except TypeError as error:
        raise ObjectiveError(
            f"expected the objective to have the signature fn(key, config), got "
            f"{name}{signature} ({error}); close over what else it needs, or give it with "
            f"functools.partial"
        ) from error


class _ByIdentity:
    """An objective that cannot be hashed, equal to itself alone as functions are."""

    def __init__(self, func: Objective):
        self.func = func

    def __call__(self, key: PRNGKeyArray, params: PyTree) -> Any:
        return self.func(key, params)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _ByIdentity) and self.func is other.func

    def __hash__(self) -> int:
        return id(self.func)


def hashable(func: Objective) -> Objective:
    """`func`, or what stands for it where it cannot be a static part of a program."""
    # Of a pytree, such as a module, the arrays are data.
    is_leaf = jax.tree_util.all_leaves([func])
    try:
        hash(func)
    except TypeError:
        return _ByIdentity(func) if is_leaf else func
    return func


def vectorised(
    func: Objective, keys: PRNGKeyArray, params: PyTree
) -> Float[Array, " q"]:
    """Traces `func` once and runs the batch as one vectorised program (the default).

    Raises:
        ObjectiveError: `func` needs concrete numbers, or returns anything but one real
            number a trial.
    """
    try:
        outputs = _vmapped(func, keys, params)
    except Exception as error:
        _check_order_of_arguments(error)
        if not _needs_numbers(error):
            raise
        cause = str(error).strip().splitlines()[0]
        raise ObjectiveError(
            "the objective cannot be traced by JAX (it needs a concrete number where it "
            "gets an abstract array); write it with jax.numpy, or run it as plain Python "
            "with optimizer.optimize(..., evaluate=hyperopt_jax.python_loop). "
            f"{type(error).__name__}: {cause}"
        ) from error
    return _one_each(outputs, keys.shape[0])


def is_formula(func: Objective, keys: PRNGKeyArray, params: PyTree) -> bool:
    """Whether the objective is done in no time.

    No loop, matrix product or convolution, and no large array. Traces it as `vectorised`
    does, which JAX then does not repeat.
    """
    jaxpr = eqx.filter_make_jaxpr(vectorised)(func, keys, params)[0]
    return not any(map(_may_last, _equations(jaxpr)))


def _equations(jaxpr: Any) -> Iterator[Any]:
    """All operations, those inside of others included."""
    # What holds operations is a jaxpr, closed or not, alone or among several branches.
    if isinstance(jaxpr, tuple | list):
        for one in jaxpr:
            yield from _equations(one)
    for equation in getattr(getattr(jaxpr, "jaxpr", jaxpr), "eqns", ()):
        yield equation
        yield from _equations(list(equation.params.values()))


def _may_last(equation: Any) -> bool:
    arrays = (*equation.invars, *equation.outvars)
    largest = max((getattr(array.aval, "size", 0) for array in arrays), default=0)
    return equation.primitive.name in _LASTING or largest > MAX_FORMULA_SIZE


def as_results(outputs: Any, q: int) -> Float[Any, " q"]:
    """What an evaluator returned as (q,) floats, NumPy's unless they were JAX's.

    Raises `ObjectiveError` where they are not that.
    """
    if isinstance(outputs, Iterator):  # such as `map` of a pool of workers
        outputs = list(outputs)
    try:
        array = outputs if isinstance(outputs, jax.Array) else np.asarray(outputs)
    except ValueError:  # a ragged list
        array = None
    if array is None or array.shape != (q,):
        got = repr(outputs) if array is None or outputs is None else array.shape
        raise ObjectiveError(
            f"expected the evaluator to return results of shape ({q},), got {got}"
        )
    if not _is_real(array.dtype):
        raise ObjectiveError(
            f"expected the evaluator to return {q} number(s), nan for a failed trial, got "
            f"{outputs!r}"
        )
    # NumPy's stay NumPy's: a NaN that is put on the device is an error under
    # jax_debug_nans.
    with np.errstate(over="ignore"):  # infinity, and so a failed trial
        return array.astype(jnp.result_type(float))


def python_loop(
    func: Objective,
    keys: PRNGKeyArray,
    params: PyTree,
    catch: tuple[type[BaseException], ...] = (Exception,),
    space: PyTree | None = None,
) -> np.ndarray:
    """Runs `func` trial by trial on concrete values, as plain Python.

    For objectives that JAX cannot trace: scikit-learn estimators, simulators, programs.
    Set what comes after `params` with `functools.partial`.

    Args:
        func: `func(key, config) -> float`.
        keys, params: what the driver hands over.
        catch: exceptions that make their trial a failed one, with a warning that says
            where and why; `()` lets every exception through.
        space: the study's search space; `config` is then what `decode_choices` makes of
            the trial: strings, None and other objects where it has choices, Python's own
            numbers, without the parts that are not active. By default leaves are NumPy
            scalars of the space's dtype, a choice its index.

    Raises:
        ObjectiveError: `func` returns anything but one real number; a traced batch.
        ParamsError: `space` is not that of the study.
        SettingError: `catch` holds something else than classes of exceptions.

    ```python
    import functools

    evaluate = functools.partial(hyperopt_jax.python_loop, space=space)
    optimizer.optimize(state, key, func, 20, evaluate=evaluate)
    ```
    """
    if not is_concrete(keys, params):
        raise ObjectiveError(
            "expected python_loop to run outside of compiled programs, got a traced "
            "batch; call optimize outside of jit, or leave evaluate at its default"
        )
    if not all(map(_is_exception, catch if isinstance(catch, tuple) else (catch,))):
        raise SettingError(
            f"expected a tuple of exception classes for catch, got {catch!r}; () lets "
            f"every exception through"
        )
    configuration = _as_scalars(params) if space is None else _decoded(space, params)
    results = []
    for i, key in enumerate(keys):
        config: Any = "not decoded"
        try:
            config = configuration(i)
            output = func(key, config)
        except catch as error:
            _check_order_of_arguments(error)
            warn(
                f"a trial failed and is recorded as such: {type(error).__name__}: "
                f"{error} ({_place_of(error)}params {config})",
                RuntimeWarning,
            )
            results.append(np.nan)
        else:
            results.append(_as_number(output))
    return np.asarray(results)


def _as_scalars(params: PyTree) -> Callable[[int], PyTree]:
    """The configurations of a batch by number, of NumPy's scalars."""
    columns, treedef = jax.tree.flatten(params)
    columns = [np.asarray(column) for column in columns]
    return lambda i: jax.tree.unflatten(treedef, [column[i] for column in columns])


def _decoded(space: PyTree, params: PyTree) -> Callable[[int], Any]:
    """The configurations of a batch by number, of plain Python's objects."""
    # One by one: where nothing feasible was found, a row is none.
    X = np.asarray(as_table(space, params, lost_too=True))
    return lambda i: decode_choices(space, X[i : i + 1])[0]


def _place_of(error: BaseException) -> str:
    """Where in the objective an exception left it, as "file:line, "."""
    frames = traceback.extract_tb(error.__traceback__)
    if len(frames) < 2:
        return ""
    return f"{Path(frames[1].filename).name}:{frames[1].lineno}, "


def _is_exception(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseException)


@functools.cache
def _vmapped_jit() -> Callable[..., Any]:
    # A jitted inner function: its trace is kept, so a program that needs the objective
    # in several places, or another program, does not trace it again.
    def vmapped(func: Objective, keys: PRNGKeyArray, params: PyTree) -> PyTree:
        return jax.vmap(lambda key, config: _one_number(func(key, config)))(
            keys, params
        )

    return eqx.filter_jit(vmapped)


def _vmapped(func: Objective, keys: PRNGKeyArray, params: PyTree) -> PyTree:
    return _vmapped_jit()(func, keys, params)


def _check_order_of_arguments(error: BaseException) -> None:
    """Raises `ObjectiveError` where an objective took the key for the params.

    Of a lambda, whose arguments have any names, nothing shows it before it is called.
    """
    if any(sign in str(error) for sign in _SIGNS_OF_SWAPPED):
        raise ObjectiveError(
            "expected the objective to have the signature fn(key, config), got one that "
            f"uses the key as params, or params as a key; let the key come first. "
            f"{type(error).__name__}: {error}"
        ) from error


def _needs_numbers(error: Exception) -> bool:
    """Whether an objective failed since it was given JAX's tracers in place of numbers."""
    if isinstance(error, HyperoptError):
        return False
    # Other libraries, and JAX where a shape is wanted, show what they could not use.
    return isinstance(error, _NOT_TRACEABLE) or "Tracer" in str(error)


def _one_number(output: Any) -> Any:
    """`output` of a traced objective; raises `ObjectiveError` for what is no array."""
    if not isinstance(output, (jax.Array, np.ndarray, np.generic, float, int)):
        raise ObjectiveError(
            f"expected the objective to return one float scalar, got a "
            f"{type(output).__name__}; return the number to optimise"
        )
    return output


def _one_each(outputs: Array, q: int) -> Float[Array, " q"]:
    """The vectorised outputs as (q,) floats; raises `ObjectiveError`."""
    shape = outputs.shape[1:]
    if shape not in ((), (1,)):
        raise ObjectiveError(
            f"expected the objective to return one float scalar, got shape {shape}; "
            f"reduce it, for example with jnp.mean"
        )
    _check_real(outputs.dtype)
    return outputs.reshape(q).astype(jnp.result_type(float))


def _as_number(output: Any) -> float:
    """One output of a plain Python objective as a float; raises `ObjectiveError`."""
    try:
        array = np.asarray(output)
        _check_real(array.dtype)
    except (TypeError, ValueError) as error:
        raise ObjectiveError(
            f"expected the objective to return one float scalar, got {output!r}"
        ) from error
    if array.shape not in ((), (1,)):
        raise ObjectiveError(
            f"expected the objective to return one float scalar, got shape {array.shape}"
        )
    return float(array.reshape(()))


def _is_real(dtype: Any) -> bool:
    return jnp.issubdtype(dtype, jnp.floating) or jnp.issubdtype(dtype, jnp.integer)


def _check_real(dtype: Any) -> None:
    if not _is_real(dtype):
        raise ObjectiveError(
            f"expected the objective to return one float scalar, got dtype {dtype}; "
            f"convert it to a float"
        )
