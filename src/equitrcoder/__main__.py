"""`python -m equitrcoder` is the command `equitrcoder`."""

from equitrcoder.cli import main

if __name__ == "__main__":
    main()
