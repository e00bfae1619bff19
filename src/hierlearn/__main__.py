"""`python -m hierlearn`."""

import gc
import io
import os
import signal
import sys


def main() -> None:
    """Run the command line; of an interrupt while its packages load say one sentence."""
    # Python's own thresholds look for garbage 70 times as often, a quarter of a build's time.
    gc.set_threshold(50_000, 20, 20)
    try:
        from hierlearn.cli.commands import cli
    except KeyboardInterrupt:
        print("Interrupted before anything was done.", file=sys.stderr)
        sys.exit(130)
    # Whoever starts this with a closed stream wants the work, not the words.
    sys.stdout, sys.stderr = (s or open(os.devnull, "w") for s in (sys.stdout, sys.stderr))
    for stream in (sys.stdout, sys.stderr):  # files and pipes get UTF-8, whatever the code page is
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding=None if stream.isatty() else "utf-8", errors="replace")
    signal.signal(signal.SIGTERM, _stop)
    cli(prog_name="hierlearn")


def _stop(number: int, _: object) -> None:
    """End like Ctrl-C what a scheduler or a container ends: in order, and with a sentence."""
    signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt(number)


if __name__ == "__main__":  # a process of a pool imports this module, and needs no command line
    main()
