"""Prints the shell commands of a Markdown file, except those marked as not run by CI.

python .ci/readme_commands.py README.md             # those before the heading Develop
python .ci/readme_commands.py README.md Develop     # those from there on

Runs that are marked `run by CI with twelve creatures` are of twelve creatures instead of thirty;
`and few draws` compares an intervention with twenty random sets instead of a hundred.
A command that is marked `fails` has to fail, with the error in the block of text after it.
"""

import re
import shlex
import sys
from pathlib import Path

TWELVE = (
    "'creatures.items=[an adult human,a child,a small dog,a cat,a horse,an owl,a goldfish,a snake,"
    "an ant,a fly,an echolocating bat,an alien with non-visual senses]'"
)
FEW_DRAWS = "intervention.draws=20 intervention.curve_draws=4"
BLOCK = re.compile(
    r"(?:<!-- (not run|run|fails)([^>]*)-->\n)?```sh\n(.*?)```(?:\n+```text\n(.*?)```)?",
    re.DOTALL,
)
RUN = re.compile(r"^(otherview run .*)$", re.MULTILINE)
DEVELOP = "\n## Develop\n"

use, _, develop = Path(sys.argv[1]).read_text().partition(DEVELOP)
for mark, how, commands, said in BLOCK.findall(develop if sys.argv[2:] else use):
    if mark == "fails":
        print(f"if {commands.strip()} 2>failed.txt; then exit 1; fi")
        print(f"diff failed.txt <(printf %s {shlex.quote(said)})")
    elif mark != "not run":
        more = f"{TWELVE} {FEW_DRAWS}" if "few draws" in how else TWELVE
        print(RUN.sub(rf"\1 {more}", commands) if mark == "run" else commands)
