"""The program `python -m otherview.plan`: the same as `otherview plan`."""

import sys

from otherview.cli import main

if __name__ == "__main__":
    sys.exit(main(["plan", *sys.argv[1:]]))
