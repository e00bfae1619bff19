"""What went wrong, in two kinds: what was asked for cannot be, or what was tried did not work."""


class UsageError(ValueError):
    """The user asked for something that does not exist or cannot be; nothing was written."""


class RunError(RuntimeError):
    """Something that was attempted did not work out; the message says what and what to do."""
