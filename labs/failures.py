"""What a person reads when a command fails: one sentence, the next step, a stable code; never a stack trace.

Called by the `lab` command alone. An exception that is not a LabError is a bug or the machine's doing; the few that
the machine causes (a full disk, a missing library, no permission) are named here.
"""

import errno
import json
import sys

from data.errors import DiskFull, LabError, MissingLibrary

USAGE = 64  # EX_USAGE
INTERRUPTED = 130  # 128 + SIGINT, the shell's convention


class Unexpected(LabError):
    """A bug in the lab: nothing that the caller did wrong."""

    code, exit_status, http_status = "unexpected", 70, 500  # EX_SOFTWARE


def report_failure(error: Exception, *, as_json: bool) -> int:
    """Print `error` for a person on stderr, and for a program on stdout if asked; returns the exit status."""
    failure = explain(error)
    if as_json:
        facts = {"code": failure.code, "message": failure.message, "next_step": failure.next_step, "where": failure.where}
        sys.stdout.write(json.dumps({"error": facts}) + "\n")
    print_failure(failure)
    return failure.exit_status


def explain(error: Exception) -> LabError:
    """The failure of ours that `error` stands for."""
    if isinstance(error, LabError):
        return error
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return DiskFull("The disk is full.", next_step="Free some space or point LAB_HOME at another disk, then run it again.")
    if isinstance(error, PermissionError):
        return DiskFull(
            "A file of the lab may not be written.", next_step="Correct its owner, or point LAB_HOME at a folder of your own.",
            where=str(error.filename),
        )  # fmt: skip
    if isinstance(error, OSError) and "libgomp" in str(error):
        return MissingLibrary("LightGBM needs the system library libgomp1.", next_step="Install it: apt-get install libgomp1.")
    return Unexpected(
        f"Something broke that should not have ({type(error).__name__}).",
        next_step="Run it again as `lab --debug …` to see where; `lab doctor` looks for the usual causes.",
    )


def print_failure(failure: LabError) -> None:
    """The failure in the lab's form, in colour where there is colour."""
    from rich.console import Console
    from rich.text import Text

    console = Console(stderr=True, highlight=False, soft_wrap=True)
    text = Text("✗ ", style="bold red") + Text(failure.message.rstrip("\n"))
    console.print(text)
    console.print(Text(f"  {failure.next_step}", style="bold"))
    where = f", at {failure.where}" if failure.where else ""
    console.print(Text(f"  ({failure.code}{where})", style="dim"))
