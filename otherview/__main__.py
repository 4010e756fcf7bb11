"""`python -m otherview`: the same as the command `otherview`."""

import sys

from otherview.cli import main

if __name__ == "__main__":
    sys.exit(main())
