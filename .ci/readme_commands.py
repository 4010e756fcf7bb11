"""Prints the shell commands of a Markdown file, except those marked as not run by CI.

python .ci/readme_commands.py README.md             # those before the heading Develop
python .ci/readme_commands.py README.md Develop     # those from there on
"""

import re
import sys
from pathlib import Path

BLOCK = re.compile(r"(<!-- not run by CI[^>]*-->\n)?```sh\n(.*?)```", re.DOTALL)
DEVELOP = "\n## Develop\n"

use, develop = Path(sys.argv[1]).read_text().split(DEVELOP)
for skipped, commands in BLOCK.findall(develop if sys.argv[2:] else use):
    if not skipped:
        print(commands)
