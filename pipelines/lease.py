"""Who is writing a run: a process named so that it can be told from a later one with the same id.

MLflow and Prefect leave the runs of a killed process "running" for ever. Runs therefore carry this name, and whoever
comes next closes those whose process is gone.
"""

import os

import psutil


def this_process() -> str:
    """This process by id and start time: ids are used again, pairs are not."""
    return f"{os.getpid()}@{psutil.Process().create_time():.2f}"


def is_running(name: str) -> bool:
    """Whether the process that `this_process` named still runs; False for anything else."""
    pid, _, started = name.partition("@")
    try:
        return f"{psutil.Process(int(pid)).create_time():.2f}" == started
    except (psutil.NoSuchProcess, ValueError):
        return False
