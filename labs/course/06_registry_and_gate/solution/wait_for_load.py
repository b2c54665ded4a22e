"""Returns once 250 more payments are in the log."""

import time

from data.settings import Settings
from labs.service import ask_serving

settings = Settings.load()
before, deadline = ask_serving(settings)["log_sequence"], time.monotonic() + 60
while ask_serving(settings)["log_sequence"] < before + 250 and time.monotonic() < deadline:
    time.sleep(0.1)
