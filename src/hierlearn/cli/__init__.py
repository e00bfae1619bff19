"""The command line: `python -m hierlearn`."""
