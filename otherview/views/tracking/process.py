"""Start the process that sends a result, and end it when it is late."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import asdict
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any

import otherview
from otherview.study.configuration import Tracking
from otherview.study.errors import UserError

STARTING = 120.0
"""Seconds in which Python and its libraries must load."""


class TrackingError(UserError):
    """A result was not sent; the message says why."""


def send_result(folder: Path, tracking: Tracking, group: str | None = None) -> str | None:
    """Write (offline) or send (online) the result in `folder`; return its address if online.

    Replace earlier offline runs of the same result. Raises TrackingError, also when a step takes
    longer than announced.
    """
    own = folder.resolve() / "wandb"
    own.mkdir(exist_ok=True)
    task = {
        "folder": str(own.parent),
        "tracking": asdict(tracking),
        "group": group or tracking.group,
    }
    with (
        (own / "send.log").open("w", encoding="utf-8") as log,
        subprocess.Popen(
            [sys.executable, "-m", "otherview.views.tracking.send", json.dumps(task)],
            bufsize=0,  # a line that waits in a buffer would not be seen to have come
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            env=environment_of(own),
            start_new_session=True,
        ) as process,
    ):
        try:
            return followed(process, tracking)
        finally:
            end(process)
            shutil.rmtree(own / ".cache", ignore_errors=True)
            for path in list(own.rglob("*")):
                if path.is_symlink():  # wandb's logs in its cache: plain copies would fail
                    path.unlink()


def followed(process: subprocess.Popen[bytes], tracking: Tracking) -> str | None:
    """Read the lines of the process, waiting for each as long as the one before allows."""
    assert process.stdout is not None
    stage, allowed = "starting", STARTING
    while True:
        if not wait([process.stdout.fileno()], allowed):
            waited = f"no answer for {allowed:.0f} s while {stage}"
            raise TrackingError(
                f"Weights & Biases: {waited} (tracking.patience={tracking.patience:g})"
            )
        line = process.stdout.readline()
        if not line:
            raise TrackingError(
                f"Weights & Biases: the sending process ended with code {process.wait()} "
                f"while {stage}"
            )
        said: dict[str, Any] = json.loads(line)
        if "failed" in said:
            raise TrackingError(f"Weights & Biases, {stage}: {said['failed']}")
        if "sent" in said:
            process.wait()
            url: str | None = said["url"]
            return url
        stage, allowed = said["stage"], said["seconds"]


def end(process: subprocess.Popen[bytes]) -> None:
    """End the process and its children; the service of wandb ends once its parent is gone."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def environment_of(own: Path) -> dict[str, str]:
    """Return the user's environment, with every folder that wandb writes to below the result.

    The API key and the address of the server are kept. Settings of other runs (an id, a resumed
    run, a sweep agent) are not.
    """
    kept = ("WANDB_API_KEY", "WANDB_BASE_URL", "WANDB_IDENTITY_TOKEN_FILE", "WANDB_HTTP_TIMEOUT")
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("WANDB_") or name in kept
    }
    package = str(Path(otherview.__file__).resolve().parent.parent)
    paths = [package, *filter(None, [environment.get("PYTHONPATH")])]
    return environment | {
        "PYTHONPATH": os.pathsep.join(paths),
        "WANDB_DIR": str(own.parent),
        "WANDB_DATA_DIR": str(own / "data"),
        "WANDB_CACHE_DIR": str(own / ".cache"),
        "WANDB_ARTIFACT_DIR": str(own / ".cache"),
        "WANDB_CONFIG_DIR": str(own / ".cache"),
        "WANDB_ERROR_REPORTING": "false",
        "MPLBACKEND": "agg",
    }
