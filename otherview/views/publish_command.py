"""Write the card of a result and, if asked, upload it: otherview publish DIR [--push USER/NAME]"""

from __future__ import annotations

import argparse
import re
from pathlib import Path

from otherview.study.errors import UserError, shown_path


def main() -> None:
    """Write the card and say what to do with it. Raises UserError."""
    parser = argparse.ArgumentParser(
        prog="otherview publish",
        description="Write a folder that others may have: a card of the result (README.md, as the "
        "model hub shows it) with figures and small files, without places on this machine. Nothing "
        "is uploaded without --push.",
    )
    parser.add_argument("directory", type=Path, help="of a run, or of a combined sweep")
    parser.add_argument(
        "--out", type=Path, metavar="FOLDER", help="of the card; by default DIR/published"
    )
    parser.add_argument("--license", metavar="NAME", help="of the result, such as cc-by-4.0")
    parser.add_argument(
        "--push", metavar="USER/NAME", help="upload it to a dataset repository of this name"
    )
    parser.add_argument("--public", action="store_true", help="a new repository is public")
    given = parser.parse_args()
    if given.push is not None:
        check_repository(given.push)
    from otherview.results.reader import ComparisonResult, read_result
    from otherview.views.publishing import CARD, publish

    result = read_result(given.directory)
    if isinstance(result, ComparisonResult):
        raise UserError(f"{given.directory} is a comparison: publish its two results")
    out = given.out or given.directory / "published"
    for line in publish(result, out, given.license):
        print(f"left out: {line}")
    print(f"card      {shown_path(out / CARD)}")
    if given.push is None:
        print(f"upload    otherview publish {given.directory} --push USER/NAME")
        return
    print(f"uploaded  {push(out, given.push, private=not given.public)}")


def check_repository(name: str) -> None:
    """Raise UserError for what is no name of a repository."""
    if re.fullmatch(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}", name) is None:
        raise UserError(f"--push {name}: write USER/NAME, of letters, digits, -, _ and .")


def push(folder: Path, name: str, *, private: bool) -> str:
    """Upload the files of a folder in one commit, creating the repository; return its address.

    The hub calls a repository of tables a dataset. Raises UserError if the hub refuses.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError, LocalTokenNotFoundError

    hub = HfApi()
    try:
        hub.create_repo(name, repo_type="dataset", private=private, exist_ok=True)
        hub.upload_folder(
            repo_id=name,
            repo_type="dataset",
            folder_path=folder,
            commit_message="Result of otherview",
        )
    except LocalTokenNotFoundError as error:
        raise UserError("no token of the hub is on this machine: hf auth login") from error
    except HfHubHTTPError as error:
        status = error.response.status_code
        reason = (
            "log in with a token that may write: hf auth login"
            if status in (401, 403)
            else error.server_message or f"status {status}"
        )
        raise UserError(f"{hub.endpoint} refused {name}: {reason}") from error
    except Exception as error:  # those of the HTTP library and OSError
        raise UserError(f"{name} was not uploaded to {hub.endpoint}: {error}") from error
    return f"{hub.endpoint}/datasets/{name}"
