"""The most memory that this process has had, for tests and benches that run their subject in a process of its own."""

import re
import resource
import sys
from pathlib import Path


def peak_megabytes() -> float:
    """Resident, at its peak. Linux keeps it since the program began; getrusage would count what the parent had, too."""
    status = Path("/proc/self/status")
    if status.exists():
        return int(re.findall(r"VmHWM:\s+(\d+) kB", status.read_text())[0]) / 1e3
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3)
