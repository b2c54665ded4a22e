"""A synthetic world of card payments: honest people, fraud as campaigns, labels late, partial and noisy.

`World(config).day(date)` draws any day on its own; `make_days` writes many, in parallel. The same configuration gives
the same bytes on any machine and any number of processes.
"""

from data.world.config import FRAUD_SHARES, Change, ChangeKind, WorldConfig
from data.world.days import make_days
from data.world.tactics import KINDS
from data.world.world import World

__all__ = ["FRAUD_SHARES", "KINDS", "Change", "ChangeKind", "World", "WorldConfig", "make_days"]
