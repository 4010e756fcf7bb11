"""Prints the shell commands of a Markdown file, except those marked as not run by CI.

python .ci/readme_commands.py README.md             # those before the heading Develop
python .ci/readme_commands.py README.md Develop     # those from there on

Runs that are marked `run by CI with twelve creatures` are of twelve creatures instead of thirty.
"""

import re
import sys
from pathlib import Path

TWELVE = (
    "'creatures.items=[an adult human,a child,a small dog,a cat,a horse,an owl,a goldfish,a snake,"
    "an ant,a fly,an echolocating bat,an alien with non-visual senses]'"
)
BLOCK = re.compile(
    r"(?:<!-- (not run|run) by CI[^>]*-->\n)?```sh\n(.*?)```",
    re.DOTALL,
)
RUN = re.compile(r"^(otherview run .*)$", re.MULTILINE)
DEVELOP = "\n## Develop\n"

use, develop = Path(sys.argv[1]).read_text().split(DEVELOP)
for mark, commands in BLOCK.findall(develop if sys.argv[2:] else use):
    if mark != "not run":
        print(RUN.sub(rf"\1 {TWELVE}", commands) if mark == "run" else commands)
