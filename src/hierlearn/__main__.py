"""`python -m hierlearn`."""

import sys


def main() -> None:
    """Run the command line; of an interrupt while its packages load say one sentence."""
    try:
        from hierlearn.cli.commands import cli
    except KeyboardInterrupt:
        print("Interrupted before anything was done.", file=sys.stderr)
        sys.exit(130)
    cli(prog_name="hierlearn")


if __name__ == "__main__":  # a process of a pool imports this module, and needs no command line
    main()
