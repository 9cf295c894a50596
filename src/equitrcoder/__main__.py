"""`python -m equitrcoder` is the command `equitrcoder`; the current folder is taken off the path in `__init__`."""

from equitrcoder.cli import main

if __name__ == "__main__":
    main()
