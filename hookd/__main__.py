"""`python -m hookd` is the command `hookd`."""

from hookd.cli import main

if __name__ == "__main__":
    main()
