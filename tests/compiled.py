"""How many programs a call compiles."""

import jax


def n_compiled(function):
    """What a function returns, and how many programs were compiled for it."""
    events = []

    def listen(event, duration, **_):
        events.append(event)

    jax.monitoring.register_event_duration_secs_listener(listen)
    try:
        result = function()
    finally:
        jax.monitoring.unregister_event_duration_listener(listen)
    return result, sum("backend_compile" in event for event in events)
