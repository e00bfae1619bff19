"""`python -m hierlearn`."""

if __name__ == "__main__":  # a process of a pool imports this module, and needs no command line
    from hierlearn.cli.commands import main

    main()
