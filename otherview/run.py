"""The program `python -m otherview.run`: the same as `otherview run`.

The function `otherview.run` is `otherview.results.run_study.run`. A module of the same name would
replace it in the package as soon as somebody imported it, so this one refuses to be imported.
"""

import sys

from otherview.cli import main

if __name__ == "otherview.run":
    raise ImportError("otherview.run is a program and a function; use `from otherview import run`")
if __name__ == "__main__":
    sys.exit(main(["run", *sys.argv[1:]]))
