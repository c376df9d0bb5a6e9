"""`python -m core.cli` is the command `spikefront`."""

from core.cli.main import main

if __name__ == "__main__":
    main()
