"""L09: loads are run anew, on a rig beside the running system; tables are computed anew from its log. Judged by ratios within a run."""

import sys
import tomllib
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, Field, ValidationError

from labs.engine import Incorrect, NotStarted, Passed, Workplace

Places = NDArray[np.int64]
TRIES = 3  # of what must be quick: others on the machine only make it slower
REPLICAS = ["http://127.0.0.1:9001", "http://127.0.0.1:9002", "http://127.0.0.1:9003"]


class Objective(BaseModel, extra="forbid"):
    """slo.toml, [objective]."""

    p95_ms: float = Field(gt=0)
    p99_ms: float = Field(gt=0)
    error_ratio: float = Field(ge=0, lt=1)


class Arrivals(BaseModel, extra="forbid"):
    """slo.toml, [arrivals]."""

    rate_per_s: float = Field(gt=0, le=2_000)
    users: int = Field(ge=1, le=200)


class Slo(BaseModel, extra="forbid"):
    """slo.toml."""

    objective: Objective
    arrivals: Arrivals


class Sentence(BaseModel, extra="forbid"):
    """sentence.toml."""

    trees: int = Field(ge=1)
    ap_lost_percent: float = Field(ge=-100, le=100)
    row_times_faster: float = Field(gt=0)
    answer_times_faster: float = Field(gt=0)
    ship: bool


class Cache(BaseModel, extra="forbid"):
    """cache.toml."""

    ttl_s: Literal[60, 600, 3_600, 21_600, 86_400]
    hits_percent: float = Field(ge=0, le=100)


# ---- 1 the knee


def knee_found(at: Workplace) -> Passed:
    code = at.load("knee.py")
    for title, users, per_s, right in LADDERS:
        rungs = [
            {"users": float(u), "per_s": float(x), "p50_ms": 1000 * u / x, "p99_ms": 2000 * u / x, "refused": 0.0}
            for u, x in zip(users, per_s, strict=True)
        ]
        told = code.call("knee", rungs)
        if told not in users:
            raise Incorrect(f"{told!r} is not a number of callers of the ladder.", "knee.py: answer the rung's `users`")
        at_told, at_best = (rungs[users.index(u)] for u in (told, right))
        if told > right:
            raise Incorrect(
                f"{title}: {told:g} callers get {at_told['per_s']:,.0f} payments/s and wait {at_told['p99_ms']:.0f} ms (p99); "
                f"{right} get {at_best['per_s']:,.0f} and wait {at_best['p99_ms']:.0f} ms.",
                "knee.py: beyond the knee, callers buy waiting. The fewest with 90 % of the highest throughput",
            )
        if told < right:
            raise Incorrect(
                f"{title}: with {told:g} callers the service idles: {at_told['per_s']:,.0f} of {max(per_s):,} payments/s.",
                "knee.py: lowest latency alone is one caller. At least 90 % of the highest throughput",
            )
    single, batched = _part("ladder").climb(at.settings, users=(1, 4, 16), seconds=0.6)
    return Passed(
        {"knee_users": float(code.call("knee", single.rungs)), "batched_saves": single.us / batched.us}
        | {"client_share": 100 * single.client_cpu_s / (single.client_cpu_s + single.service_cpu_s)}
        | {"client_share_batched": 100 * batched.client_cpu_s / (batched.client_cpu_s + batched.service_cpu_s)}
    )


LADDERS = (  # title, callers, payments/s, the knee
    ("A ladder that is flat from 8 callers on", [1, 2, 4, 8, 16, 32, 64], [1000, 1900, 3400, 4600, 4700, 4750, 4800], 8),
    ("A ladder that falls after 4 callers", [1, 2, 4, 8, 16], [900, 1700, 2500, 2300, 1500], 4),
    ("A ladder that is full from the start", [1, 2, 4, 8], [2000, 2010, 1990, 2020], 1),
)


# ---- 2 the objective


def slo_defended(at: Workplace) -> Passed:
    told, brief = _slo(at), _brief(at)
    mean = brief["traffic"]["payments_per_day"] / 86_400
    peak, left_ms = mean * brief["traffic"]["busiest_minute"], brief["deadline"]["card_network_ms"] - brief["deadline"]["on_the_way_ms"]
    objective, lost = told.objective, brief["deadline"]["lost_per_million"] / 1e6
    if told.arrivals.rate_per_s < peak:
        raise Incorrect(
            f"It is promised for {told.arrivals.rate_per_s:g} payments/s; the busiest minute brings {peak:.0f} "
            f"(the mean of the day is {mean:.0f}).",
            "brief.toml: traffic; slo.toml: rate_per_s",
        )
    if objective.p99_ms > left_ms:
        raise Incorrect(
            f"With {objective.p99_ms:g} ms the answer is late: of the network's {brief['deadline']['card_network_ms']} ms, "
            f"{left_ms} are left at our door.",
            "brief.toml: deadline; slo.toml: p99_ms",
        )
    if objective.p95_ms > objective.p99_ms:
        raise Incorrect("Its 95th percentile may be slower than its 99th.", "slo.toml: p95_ms, p99_ms")
    if objective.error_ratio == 0:
        raise Incorrect(
            "No error at all is promised: the first one breaks it, and nobody may ever deploy. The business accepts some.",
            "brief.toml: lost_per_million; slo.toml: error_ratio",
        )
    if objective.error_ratio > lost:
        raise Incorrect(f"The business accepts {lost:g}, and {objective.error_ratio:g} is promised.", "slo.toml: error_ratio")
    part = _part("objective")
    with _rig().scoring(at.settings) as [service]:
        for nth in range(TRIES):
            quiet = part.judge(at.settings, service, at.file("slo.toml"), nth)
            if quiet.status == 0:
                break
        else:
            raise Incorrect(
                f"Locust ends with status 1 on a quiet service, {TRIES} times: {', '.join(quiet.missed)}.",
                "slo.toml: what does `python -m rig.objective` measure?",
            )
        stalled = part.judge(at.settings, service, at.file("slo.toml"), TRIES, stall=True)
    if stalled.status == 0:
        raise Incorrect(
            f"The service stood still for {part.STALL_S:g} s and your objective was met: nobody is called.", "slo.toml: p95_ms, p99_ms"
        )
    return Passed({"quiet_p99_ms": quiet.p99_ms, "stalled_p99_ms": stalled.p99_ms})


# ---- 3 the sentence


def sentence_measured(at: Workplace) -> Passed:
    told, rule, part = at.answers("sentence.toml", Sentence), _brief(at)["smaller_model"], _part("smaller")
    matrix, is_fraud = part.served_week(at.settings)
    model = part.challenger(at.settings)
    if told.trees >= model.trees:
        raise Incorrect(f"The challenger has {model.trees} trees; a smaller model has fewer.", "sentence.toml: trees")
    whole, cut = (part.measure(model.cut(trees), matrix, is_fraud) for trees in (model.trees, told.trees))
    points = 100 * (whole.average_precision - cut.average_precision)
    lost, row_faster = points / whole.average_precision, whole.row_us / cut.row_us
    if abs(told.ap_lost_percent - lost) > 0.6:
        unit = " You told points." if abs(told.ap_lost_percent - points) <= 0.6 else ""
        raise Incorrect(
            f"{told.trees} trees have {cut.average_precision:.3f}, the whole model {whole.average_precision:.3f}: {lost:.1f} % less.{unit}",
            "sentence.toml: ap_lost_percent",
        )
    if not row_faster / 2 <= told.row_times_faster <= row_faster * 2:
        raise Incorrect(
            f"The whole model takes {whole.row_us:.2f} µs for a row here, the cut one {cut.row_us:.2f}.", "sentence.toml: row_times_faster"
        )
    answer_us = 1000 * part.answer_ms(at.settings)
    answer_faster = part.times_faster(whole.row_us, cut.row_us, answer_us)
    if abs(told.answer_times_faster - answer_faster) > 0.05:
        raise Incorrect(
            f"The model is {whole.row_us:.1f} of the {answer_us:,.0f} µs that a caller waits: "
            f"the answer gets {answer_faster:.3f} times faster, not {told.answer_times_faster:g}.",
            "sentence.toml: answer_times_faster; Amdahl's law",
        )
    if told.ship != (answer_faster >= rule["least_answer_gain"] and lost <= rule["most_ap_lost_percent"]):
        raise Incorrect("By the rule of the brief your own numbers decide otherwise.", "brief.toml: smaller_model; sentence.toml: ship")
    return Passed(
        {"ap_lost": lost, "row_faster": row_faster, "answer_faster": answer_faster}
        | {"library_slower": model.library_us(matrix) / whole.row_us, "model_share": 100 * whole.row_us / answer_us}
    )


# ---- 4 the spike


def spike_shed(at: Workplace) -> Passed:
    code, rule, part = at.load("shedding.py"), _brief(at)["spike"], _part("spike")
    longest = next((n for n in range(10_000) if not code.call("admit", n)), None)
    if longest is None:
        raise Incorrect(
            "Its line has no end: at three times the capacity everybody is let in, and leaves before the answer.",
            "shedding.py: admit",
        )
    if longest > rule["late_after"]:
        raise Incorrect(
            f"The last in its line of {longest} waits {longest} times what an answer needs; callers have left after {rule['late_after']}. "
            "It works for people who are gone.",
            "shedding.py: admit; brief.toml: spike. Little's law: waiting = line x time of one",
        )
    if longest < rule["burst"]:
        raise Incorrect(
            f"Of a burst of {rule['burst']}, {rule['burst'] - longest} are refused that could have been answered in time.",
            "shedding.py: admit; brief.toml: spike",
        )
    seconds = code.call("retry_after_s")
    if not isinstance(seconds, int) or not 1 <= seconds <= 30:
        raise Incorrect(
            "The refusal does not say when to come back, so callers try again at once and the spike feeds itself.",
            "shedding.py: retry_after_s, whole seconds, 1 to 30",
        )
    for _ in range(TRIES):
        found = part.strike(at.settings, at.folder)
        if found.lost == 0 and found.waited <= 2 * rule["late_after"] and found.goodput >= 0.4 and found.recovered_s <= 0.5:
            break
    else:
        raise Incorrect(
            f"In the spike {found.goodput:.0%} of the capacity was answered, after {found.waited:.0f} times what an answer needs; "
            f"{found.lost} were lost, and it was over {found.recovered_s:.2f} s later.",
            "`python -m rig.spike`: a loop or a print in admit? Something else that runs on this machine?",
        )
    return Passed(
        {"refused": 100 * found.refused, "waited": found.waited, "goodput": 100 * found.goodput, "recovered_s": found.recovered_s}
    )


# ---- 5 two replicas


def replica_killed(at: Workplace) -> Passed:
    code = at.load("routing.py")
    cards = [f"card_{n:05d}" for n in range(600)]
    home = {card: code.call("pick", card, REPLICAS) for card in cards}
    again = _in_another_process(at, cards)
    if any(home[card] not in REPLICAS for card in cards):
        raise Incorrect("It picks a replica that is not among `alive`.", "routing.py: pick")
    if moved := sum(home[card] != code.call("pick", card, REPLICAS) for card in cards):
        raise Incorrect(
            f"The same card is sent elsewhere the next time ({moved} of {len(cards)}): its history is torn, "
            "and counts of its last hour are wrong on both replicas.",
            "routing.py: pick",
        )
    if moved := sum(home[card] != again[card] for card in cards):
        raise Incorrect(
            f"After a restart of the front {moved} of {len(cards)} cards are sent elsewhere: Python salts `hash` of text in each process.",
            "routing.py: pick; hashlib and zlib do not",
        )
    fewest = min(list(home.values()).count(url) for url in REPLICAS)
    if fewest < len(cards) / 5:
        raise Incorrect(f"One of three replicas gets {fewest} of {len(cards)} cards.", "routing.py: pick; spread them evenly")
    left = {card: code.call("pick", card, REPLICAS[1:]) for card in cards}
    if moved := sum(home[card] != left[card] for card in cards if home[card] != REPLICAS[0]):
        raise Incorrect(
            f"When one of three replicas dies, {moved} cards of the healthy two change places as well, and leave their history behind.",
            "routing.py: pick; rendezvous or consistent hashing instead of a remainder",
        )
    if code.call("ask_another", 1, "overloaded") or code.call("ask_another", 1, "refused"):
        raise Incorrect(
            "It asks again where the answer was no: a refused payment stays refused, and an overloaded service gets twice the load.",
            "routing.py: ask_another; which failure says that nobody answered?",
        )
    if not code.call("ask_another", 1, "gone"):
        raise Incorrect(
            "Until the next probe the front does not know who is dead: every payment sent there meanwhile is lost with the replica.",
            "routing.py: ask_another; a payment may be asked again, as its id is stored once",
        )
    found, budget = _part("kill").kill_one(at.settings, at.folder), _brief(at)["deadline"]["lost_per_million"] / 1e6
    if found.error_ratio > budget:
        raise Incorrect(
            f"{found.failed} of {found.requests} payments were lost with the replica, {found.error_ratio:.2%}; the budget is {budget:.2%}.",
            "routing.py: does ask_another hold for the second attempt, too?",
        )
    return Passed({"killed_lost": float(found.failed)} | _part("split").torn(at.settings, lambda card: home_of(code, card)))


def home_of(code: Any, card: str) -> int:
    """0 or 1: which of two replicas the learner's `pick` gives a card to."""
    return REPLICAS.index(code.call("pick", card, REPLICAS[:2]))


# ---- 6 batch and real time


def batch_same(at: Workplace) -> Passed:
    part = _part("week")
    if not (at.folder / "scored").is_dir():
        raise NotStarted("`python -m rig.week`, complete batch.sh, then `bash batch.sh`.")
    frame = part.served(at.settings)
    try:
        found = part.compare(frame, at.folder / "scored")
    except (OSError, ValueError, KeyError):
        raise Incorrect("scored/ holds no answers of `lab score-batch`.", "Run `bash batch.sh` again.") from None
    if found.missing:
        raise Incorrect(f"{found.missing:,} payments of the week were not scored.", "batch.sh: is it the whole week.parquet?")
    same = 100 * found.same / found.payments
    if same < 50:
        raise Incorrect(
            f"{same:.1f} % of the scores are those of the service: the batch began with another memory of cards and terminals.",
            "batch.sh: --history, the state before the first payment. `python -m rig.week before` names it",
        )
    if same < 98:
        raise Incorrect(
            f"{same:.1f} % of the scores are those of the service, and {found.other_decision} decisions differ: "
            "the batch never heard of the frauds that were reported during the week.",
            "batch.sh: --labels",
        )
    hours, eur = part.too_late(frame)
    return Passed({"same": same, "batch_us": part.batch_us(at.settings), "hours_late": hours, "eur_late": eur})


# ---- 7 the cache


def cache_judged(at: Workplace) -> Passed:
    code = at.load("cache.py")
    draw = np.random.default_rng(0)
    key, event_s = draw.integers(0, 12, 400), np.cumsum(draw.integers(1, 30, 400)).astype(np.float64)
    told = np.asarray(code.call("source", key, event_s, 300.0))
    if told.shape != key.shape:
        raise Incorrect("`source` is to answer one place for each payment.", "cache.py: source")
    if (told > np.arange(len(key))).any():
        raise Incorrect("A payment gets the features of a later one.", "cache.py: source")
    if (key[told] != key).any():
        raise Incorrect("A payment gets the features of another terminal.", "cache.py: source")
    if np.array_equal(told, _source(key, event_s, 300.0, sliding=True)):
        raise Incorrect(
            "Each hit renews the entry: a busy terminal is never looked at again, and its features are of last week.",
            "cache.py: source; time to live counts from when the features were made",
        )
    if not np.array_equal(told, _source(key, event_s, 300.0)):
        raise Incorrect("Some payments get features older than the time to live, or miss fresh ones.", "cache.py: source")
    decided, allowed = at.answers("cache.toml", Cache), _brief(at)["cache"]["most_caught_frauds_lost_percent"]
    part = _part("caching")
    week = part.Week.of(at.settings)
    effects = {ttl_s: part.effect(week, _source(week.terminal, week.event_s, float(ttl_s))) for ttl_s in (0, *part.TTLS_S)}
    mine = effects[decided.ttl_s]
    if 100 * mine.lost > allowed * mine.caught_before:
        raise Incorrect(
            f"It saves {mine.hits:.0%} of the look-ups and loses {mine.lost} of {mine.caught_before} caught frauds: "
            "hits come in bursts, and so do frauds.",
            "brief.toml: cache; cache.toml: ttl_s",
        )
    best = max(ttl_s for ttl_s, effect in effects.items() if 100 * effect.lost <= allowed * effect.caught_before)
    if decided.ttl_s != best:
        raise Incorrect("A longer one of the table is within the brief, too.", "cache.toml: ttl_s")
    if abs(decided.hits_percent - 100 * mine.hits) > 0.3:
        raise Incorrect(f"With {decided.ttl_s} s, {100 * mine.hits:.1f} % of the payments are hits.", "cache.toml: hits_percent")
    hour = effects[3_600]
    return Passed(
        {"hits": 100 * mine.hits, "hits_hour": 100 * hour.hits, "lost_hour": 100 * hour.lost / hour.caught_before}
        | {"ap_fresh": effects[0].average_precision, "ap_hour": hour.average_precision}
    )


# ---- what they share


@cache
def _here(start: Path) -> None:
    """The pristine `rig` is what is imported: what the learner's copy says counts for nothing."""
    sys.path.insert(0, str(start))


def _rig() -> ModuleType:
    return _part("")


def _part(name: str) -> ModuleType:
    import importlib

    _here(Path(__file__).parent / "start")
    return importlib.import_module(f"rig.{name}" if name else "rig")


def _brief(at: Workplace) -> dict[str, Any]:
    return tomllib.loads((at.start / "brief.toml").read_text())


def _slo(at: Workplace) -> Slo:
    text = at.file("slo.toml").read_text()
    try:
        return Slo.model_validate(tomllib.loads(text))
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(map(str, first["loc"]))
        raise Incorrect(f"slo.toml, {name}: {first['msg'].lower()}.", f"slo.toml: {name}") from None
    except tomllib.TOMLDecodeError as error:
        raise Incorrect(f"slo.toml is not TOML: {error}.", "slo.toml") from None


def _in_another_process(at: Workplace, cards: list[str]) -> dict[str, str]:
    from labs.engine.learner import LearnerCode

    for seed in ("1", "2"):  # of Python's salt: one of them is not that of the first process
        with LearnerCode(at.file("routing.py"), {**at.environment, "PYTHONHASHSEED": seed}) as code:
            picked = {card: code.call("pick", card, REPLICAS) for card in cards}
    return picked


def _source(key: Places, event_s: NDArray[np.float64], ttl_s: float, *, sliding: bool = False) -> Places:
    """What cache.py is to answer; `sliding`: what a cache does whose hits renew."""
    places, held = np.arange(len(key)), dict[int, int]()
    made = event_s.copy()  # when what a payment got was made, or renewed
    for i, name in enumerate(key.tolist()):
        kept = held.get(name)
        if kept is not None and event_s[i] - made[kept] < ttl_s:
            places[i] = kept
            if sliding:
                made[kept] = event_s[i]
        else:
            held[name] = i
    return places
