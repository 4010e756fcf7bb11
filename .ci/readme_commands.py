"""Prints the shell commands of a Markdown file, except those marked as not run by CI."""

import re
import sys
from pathlib import Path

BLOCK = re.compile(r"(<!-- not run by CI[^>]*-->\n)?```sh\n(.*?)```", re.DOTALL)

for skipped, commands in BLOCK.findall(Path(sys.argv[1]).read_text()):
    if not skipped:
        print(commands)
