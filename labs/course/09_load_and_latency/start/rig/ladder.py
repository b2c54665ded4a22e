"""More and more callers who each wait for their answer: `python -m rig.ladder`."""

from collections.abc import Callable
from dataclasses import dataclass

from data.settings import Settings
from rig import load, say, scoring

USERS = (1, 2, 4, 8, 16, 32)
SINGLE, BATCH = 1, 50  # payments of a request


@dataclass(frozen=True)
class Ladder:
    """What one ladder of callers found."""

    rungs: list[dict[str, float]]  # users, per_s (payments), p50_ms, p99_ms, refused (share of requests)
    client_cpu_s: float
    service_cpu_s: float
    payments: int

    @property
    def client_share(self) -> float:
        """Of the CPU of both, what Locust took."""
        return self.client_cpu_s / (self.client_cpu_s + self.service_cpu_s)

    @property
    def us(self) -> float:
        """CPU of the service for a payment, in microseconds."""
        return 1e6 * self.service_cpu_s / max(1, self.payments)


def climb(settings: Settings, users: tuple[int, ...] = USERS, seconds: float = 0.6) -> tuple[Ladder, Ladder]:
    """A ladder with a payment a request, and one with BATCH."""
    with scoring(settings) as [service]:
        found = []
        for batch in (SINGLE, BATCH):
            steps = [{"users": count, "seconds": seconds, "batch": batch} for count in users]
            before = service.cpu_s()
            loaded = load(settings, service.url, steps, max(users))
            rungs = [
                {"users": count, "per_s": step.per_s, "p50_ms": step.ms(50), "p99_ms": step.ms(99), "refused": step.refused}
                for count, step in zip(users, loaded.steps, strict=True)
            ]
            answered = batch * sum(int(step.answered.sum()) for step in loaded.steps)
            found.append(Ladder(rungs, loaded.client_cpu_s, service.cpu_s() - before, answered))
    return found[0], found[1]


def show(title: str, ladder: Ladder, knee: Callable[[list[dict[str, float]]], float]) -> None:
    print(f"\n{title}\n  callers  payments/s   p50 ms   p99 ms  refused")
    for rung in ladder.rungs:
        print("{users:>9}{per_s:>12,.0f}{p50_ms:>9.1f}{p99_ms:>9.1f}{refused:>9.0%}".format(**rung))
    print(f"  CPU: Locust {ladder.client_cpu_s:.2f} s, service {ladder.service_cpu_s:.2f} s ({ladder.us:.0f} µs a payment)")
    try:
        print(f"  your knee: {knee(ladder.rungs)} callers")
    except NotImplementedError as open_point:
        print(f"  your knee: {open_point}")


if __name__ == "__main__":
    from knee import knee

    say("a scoring service, and two ladders of callers")
    single, batched = climb(Settings.load())
    for title, ladder in ((f"{SINGLE} payment a request", single), (f"{BATCH} payments a request", batched)):
        show(title, ladder, knee)
