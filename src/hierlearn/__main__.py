"""`python -m hierlearn`."""

from hierlearn.cli import main

if __name__ == "__main__":
    main()
