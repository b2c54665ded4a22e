"""The lab engine: prepares the live system, checks a learner's work against it, and proves that every lab keeps the authoring contract.

It knows nothing of any particular lab; contents are in the course's folder (labs/course/, or LAB_COURSE). Authors of checks
import from here and nowhere else of the engine.
"""

from labs.engine.outcome import CannotCheck, Incorrect, NotStarted, Passed
from labs.engine.workplace import Workplace

__all__ = ["CannotCheck", "Incorrect", "NotStarted", "Passed", "Workplace"]
