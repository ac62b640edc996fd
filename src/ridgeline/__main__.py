"""`python -m ridgeline` is the command `ridgeline`."""

import sys

from ridgeline.cli.app import main

if __name__ == "__main__":
    sys.exit(main())
