"""`python -m headscarp`: the same as the command `headscarp`."""

from headscarp.cli import main

if __name__ == "__main__":
    main()
