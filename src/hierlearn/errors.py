"""What went wrong, in two kinds: what was asked for cannot be, or what was tried did not work."""

from collections.abc import Sequence
from typing import Any


class UsageError(ValueError):
    """The user asked for something that does not exist or cannot be; nothing was written."""


class RunError(RuntimeError):
    """Something that was attempted did not work out; the message says what and what to do."""


class DataMissing(RunError):
    """A data set is not at hand, or its bytes are not the official ones; the message says which."""


def check_choice(what: str, value: Any, valid: Sequence[str]) -> Any:
    """Return `value`; UsageError that lists the `valid` ones when it is none of them."""
    if value not in valid:
        raise UsageError(f"unknown {what} {value!r}; valid: {', '.join(valid)}")
    return value
