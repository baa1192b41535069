"""The simulator's own errors, for those who control it. Their texts are sentences for a person.

They are ValueErrors and LookupErrors, too, so that a test can expect those. A KeyError or TypeError
of Python is a defect of the simulator, and its text isn't shown.
"""


class SimulatorError(Exception):
    """What was asked for is refused. `code` is the `error` of the response, `status` its status."""

    code = "invalid-value"
    status = 400


class InvalidValueError(SimulatorError, ValueError):
    """A value is invalid, or impossible in the current state."""


class NotFoundError(SimulatorError, LookupError):
    """A user, client or other thing doesn't exist."""

    code = "not-found"
    status = 404
