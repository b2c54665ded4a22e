"""Runs a command in the middle of a load: `python under_load.py lab rollback --reason drill`. A person takes two terminals."""

import subprocess
import sys
import time

from data.settings import Settings
from labs.service import ask_serving

EACH_SIDE = 150  # payments


def wait_for_payments(settings: Settings) -> None:
    before, deadline = ask_serving(settings)["log_sequence"], time.monotonic() + 60
    while ask_serving(settings)["log_sequence"] < before + EACH_SIDE and time.monotonic() < deadline:
        time.sleep(0.2)


settings = Settings.load()
with subprocess.Popen([sys.executable, "load.py", "--seconds", "120"]) as load:
    wait_for_payments(settings)
    subprocess.run(sys.argv[1:], check=True)
    wait_for_payments(settings)
    load.terminate()
