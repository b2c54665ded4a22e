"""L09: loads are run anew, on a rig beside the running system; tables are computed anew from its log. Judged by ratios within a run."""

import sys
import tomllib
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, Field

from labs.engine import Incorrect, NotStarted, Passed, Workplace
from labs.engine.learner import LearnerCode

Places = NDArray[np.int64]
TRIES = 3  # of what must be quick: others on the machine only make it slower
REPLICAS = ["http://127.0.0.1:9001", "http://127.0.0.1:9002", "http://127.0.0.1:9003"]
LADDERS = (  # title, callers, payments/s, the knee
    ("A ladder that is flat from 8 callers on", [1, 2, 4, 8, 16, 32, 64], [1000, 1900, 3400, 4600, 4700, 4750, 4800], 8),
    ("A ladder that falls after 4 callers", [1, 2, 4, 8, 16], [900, 1700, 2500, 2300, 1500], 4),
    ("A ladder that is full from the start", [1, 2, 4, 8], [2000, 2010, 1990, 2020], 1),
)


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
        _require(told in users, f"{told!r} is not a number of callers of the ladder.", "knee.py: answer the rung's `users`")
        mine, best = (rungs[users.index(u)] for u in (told, right))
        why = (
            f"{title}: {told:g} callers get {mine['per_s']:,.0f} payments/s and wait {mine['p99_ms']:.0f} ms (p99); "
            f"{right} get {best['per_s']:,.0f} and wait {best['p99_ms']:.0f} ms."
        )
        _require(told <= right, why, "knee.py: beyond the knee, callers buy waiting. The fewest with 90 % of the highest throughput")
        why = f"{title}: with {told:g} callers the service idles: {mine['per_s']:,.0f} of {max(per_s):,} payments/s."
        _require(told >= right, why, "knee.py: lowest latency alone is one caller. At least 90 % of the highest throughput")
    single, batched = _part("ladder").climb(at.settings, users=(1, 4, 16), seconds=0.6)
    return Passed(
        {"knee_users": float(code.call("knee", single.rungs)), "batched_saves": single.us / batched.us}
        | {"client_share": 100 * single.client_share, "client_share_batched": 100 * batched.client_share}
    )


# ---- 2 the objective


def slo_defended(at: Workplace) -> Passed:
    told = at.answers("slo.toml", Slo)
    _require_brief_kept(told, _brief(at))
    part = _part("objective")
    with part.scoring(at.settings) as [service]:
        for nth in range(TRIES):
            quiet = part.judge(at.settings, service, at.file("slo.toml"), nth)
            if quiet.status == 0:
                break
        why = f"Locust ends with status 1 on a quiet service, {TRIES} times: {', '.join(quiet.missed)}."
        _require(quiet.status == 0, why, "slo.toml: what does `python -m rig.objective` measure?")
        stalled = part.judge(at.settings, service, at.file("slo.toml"), TRIES, stall=True)
    why = f"The service stood still for {part.STALL_S:g} s and your objective was met: nobody is called."
    _require(stalled.status != 0, why, "slo.toml: p95_ms, p99_ms")
    return Passed({"quiet_p99_ms": quiet.p99_ms, "stalled_p99_ms": stalled.p99_ms})


def _require_brief_kept(told: Slo, brief: dict[str, Any]) -> None:
    """What is promised is enough, and can be kept by a service that is sometimes deployed."""
    objective, traffic, deadline = told.objective, brief["traffic"], brief["deadline"]
    mean = traffic["payments_per_day"] / 86_400
    peak = mean * traffic["busiest_minute"]
    rate = told.arrivals.rate_per_s
    why = f"It is promised for {rate:g} payments/s; the busiest minute brings {peak:.0f} (the mean of the day is {mean:.0f})."
    _require(rate >= peak, why, "brief.toml: traffic; slo.toml: rate_per_s")
    network_ms = deadline["card_network_ms"]
    left_ms = network_ms - deadline["on_the_way_ms"]
    why = f"With {objective.p99_ms:g} ms the answer is late: of the network's {network_ms} ms, {left_ms} are left at our door."
    _require(objective.p99_ms <= left_ms, why, "brief.toml: deadline; slo.toml: p99_ms")
    ordered = objective.p95_ms <= objective.p99_ms
    _require(ordered, "Its 95th percentile may be slower than its 99th.", "slo.toml: p95_ms, p99_ms")
    why = "No error at all is promised: the first one breaks it, and nobody may ever deploy. The business accepts some."
    _require(objective.error_ratio > 0, why, "brief.toml: lost_per_million; slo.toml: error_ratio")
    lost = deadline["lost_per_million"] / 1e6
    why = f"The business accepts {lost:g}, and {objective.error_ratio:g} is promised."
    _require(objective.error_ratio <= lost, why, "slo.toml: error_ratio")


# ---- 3 the sentence


def sentence_measured(at: Workplace) -> Passed:
    told, rule, part = at.answers("sentence.toml", Sentence), _brief(at)["smaller_model"], _part("smaller")
    matrix, is_fraud = part.served_week(at.settings)
    model = part.challenger(at.settings)
    _require(told.trees < model.trees, f"The challenger has {model.trees} trees; a smaller model has fewer.", "sentence.toml: trees")
    whole, cut = (part.measure(model.cut(trees), matrix, is_fraud) for trees in (model.trees, told.trees))
    points = 100 * (whole.average_precision - cut.average_precision)
    lost, row_faster = points / whole.average_precision, whole.row_us / cut.row_us
    unit = " You told points." if abs(told.ap_lost_percent - points) <= 0.6 else ""
    why = f"{told.trees} trees have {cut.average_precision:.3f}, the whole model {whole.average_precision:.3f}: {lost:.1f} % less.{unit}"
    _require(abs(told.ap_lost_percent - lost) <= 0.6, why, "sentence.toml: ap_lost_percent")
    why = f"The whole model takes {whole.row_us:.2f} µs for a row here, the cut one {cut.row_us:.2f}."
    _require(row_faster / 2 <= told.row_times_faster <= row_faster * 2, why, "sentence.toml: row_times_faster")
    answer_us = 1000 * part.answer_ms(at.settings)
    answer_faster = part.times_faster(whole.row_us, cut.row_us, answer_us)
    why = (
        f"The model is {whole.row_us:.1f} of the {answer_us:,.0f} µs that a caller waits: "
        f"the answer gets {answer_faster:.3f} times faster, not {told.answer_times_faster:g}."
    )
    _require(abs(told.answer_times_faster - answer_faster) <= 0.05, why, "sentence.toml: answer_times_faster; Amdahl's law")
    ship = answer_faster >= rule["least_answer_gain"] and lost <= rule["most_ap_lost_percent"]
    why = "By the rule of the brief your own numbers decide otherwise."
    _require(told.ship == ship, why, "brief.toml: smaller_model; sentence.toml: ship")
    return Passed(
        {"ap_lost": lost, "row_faster": row_faster, "answer_faster": answer_faster}
        | {"library_slower": model.library_us(matrix) / whole.row_us, "model_share": 100 * whole.row_us / answer_us}
    )


# ---- 4 the spike


def spike_shed(at: Workplace) -> Passed:
    code, rule, part = at.load("shedding.py"), _brief(at)["spike"], _part("spike")
    late_after, burst = rule["late_after"], rule["burst"]
    longest = next((n for n in range(10_000) if not code.call("admit", n)), None)
    why = "Its line has no end: at three times the capacity everybody is let in, and leaves before the answer."
    _require(longest is not None, why, "shedding.py: admit")
    why = (
        f"The last in its line of {longest} waits {longest} times what an answer needs; callers have left after {late_after}. "
        "It works for people who are gone."
    )
    _require(longest <= late_after, why, "shedding.py: admit; brief.toml: spike. Little's law: waiting = line x time of one")
    why = f"Of a burst of {burst}, {burst - longest} are refused that could have been answered in time."
    _require(longest >= burst, why, "shedding.py: admit; brief.toml: spike")
    seconds = code.call("retry_after_s")
    why = "The refusal does not say when to come back, so callers try again at once and the spike feeds itself."
    _require(isinstance(seconds, int) and 1 <= seconds <= 30, why, "shedding.py: retry_after_s, whole seconds, 1 to 30")
    for _ in range(TRIES):
        found = part.strike(at.settings, at.folder)
        survived = found.lost == 0 and found.waited <= 2 * late_after and found.goodput >= 0.4 and found.recovered_s <= 0.5
        if survived:
            break
    why = (
        f"In the spike {found.goodput:.0%} of the capacity was answered, after {found.waited:.0f} times what an answer needs; "
        f"{found.lost} were lost, and it was over {found.recovered_s:.2f} s later."
    )
    _require(survived, why, "`python -m rig.spike`: a loop or a print in admit? Something else that runs on this machine?")
    return Passed(
        {"refused": 100 * found.refused, "waited": found.waited, "goodput": 100 * found.goodput, "recovered_s": found.recovered_s}
    )


# ---- 5 two replicas


def replica_killed(at: Workplace) -> Passed:
    code = at.load("routing.py")
    _require_steady_homes(at, code)
    why = "It asks again where the answer was no: a refused payment stays refused, and an overloaded service gets twice the load."
    again = code.call("ask_another", 1, "overloaded") or code.call("ask_another", 1, "refused")
    _require(not again, why, "routing.py: ask_another; which failure says that nobody answered?")
    why = "Until the next probe the front does not know who is dead: every payment sent there meanwhile is lost with the replica."
    again = code.call("ask_another", 1, "gone")
    _require(again, why, "routing.py: ask_another; a payment may be asked again, as its id is stored once")
    found, budget = _part("kill").kill_one(at.settings, at.folder), _brief(at)["deadline"]["lost_per_million"] / 1e6
    why = f"{found.failed} of {found.requests} payments were lost with the replica, {found.error_ratio:.2%}; the budget is {budget:.2%}."
    _require(found.error_ratio <= budget, why, "routing.py: does ask_another hold for the second attempt, too?")
    two = REPLICAS[:2]
    torn = _part("split").torn(at.settings, lambda card: two.index(code.call("pick", card, two)))
    return Passed({"killed_lost": float(found.failed)} | torn)


def _require_steady_homes(at: Workplace, code: LearnerCode) -> None:
    """A card's place is the same next time, after a restart and when another replica dies; and no replica has most of the cards."""
    cards = [f"card_{n:05d}" for n in range(300)]

    def homes(code: LearnerCode, alive: list[str] = REPLICAS) -> dict[str, str]:
        return {card: code.call("pick", card, alive) for card in cards}

    def moved(others: Mapping[str, str]) -> int:
        return sum(home[card] != others[card] for card in others)

    home = homes(code)
    _require(set(home.values()) <= set(REPLICAS), "It picks a replica that is not among `alive`.", "routing.py: pick")
    n = moved(homes(code))
    why = (
        f"The same card is sent elsewhere the next time ({n} of {len(cards)}): its history is torn, "
        "and counts of its last hour are wrong on both replicas."
    )
    _require(n == 0, why, "routing.py: pick")
    for salt in ("1", "2"):  # of Python's hash: one of them is not that of the first process
        with LearnerCode(at.file("routing.py"), {**at.environment, "PYTHONHASHSEED": salt}) as restarted:
            n = moved(homes(restarted))
        why = f"After a restart of the front {n} of {len(cards)} cards are sent elsewhere: Python salts `hash` of text in each process."
        _require(n == 0, why, "routing.py: pick; hashlib and zlib do not")
    fewest = min(list(home.values()).count(url) for url in REPLICAS)
    _require(
        fewest >= len(cards) / 5, f"One of three replicas gets {fewest} of {len(cards)} cards.", "routing.py: pick; spread them evenly"
    )
    n = moved({card: url for card, url in homes(code, REPLICAS[1:]).items() if home[card] != REPLICAS[0]})
    why = f"When one of three replicas dies, {n} cards of the healthy two change places as well, and leave their history behind."
    _require(n == 0, why, "routing.py: pick; rendezvous or consistent hashing instead of a remainder")


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
    _require(found.missing == 0, f"{found.missing:,} payments of the week were not scored.", "batch.sh: is it the whole week.parquet?")
    same = 100 * found.same / found.payments
    equal = f"{same:.1f} % of the scores are those of the service"
    why = f"{equal}: the batch began with another memory of cards and terminals."
    _require(same >= 50, why, "batch.sh: --history, the state before the first payment. `python -m rig.week before` names it")
    why = f"{equal}, and {found.other_decision} decisions differ: the batch never heard of the frauds that were reported during the week."
    _require(same >= 98, why, "batch.sh: --labels")
    hours, eur = part.too_late(frame)
    return Passed({"same": same, "batch_us": part.batch_us(at.settings), "hours_late": hours, "eur_late": eur})


# ---- 7 the cache


def cache_judged(at: Workplace) -> Passed:
    _require_time_to_live_kept(at.load("cache.py"))
    decided, allowed = at.answers("cache.toml", Cache), _brief(at)["cache"]["most_caught_frauds_lost_percent"]
    part = _part("caching")
    week = part.Week.of(at.settings)
    effects = {ttl_s: part.effect(week, _source(week.terminal, week.event_s, float(ttl_s))) for ttl_s in (0, *part.TTLS_S)}
    kept = {ttl_s for ttl_s, effect in effects.items() if 100 * effect.lost <= allowed * effect.caught_before}
    mine, hour = effects[decided.ttl_s], effects[3_600]
    why = (
        f"It saves {mine.hits:.0%} of the look-ups and loses {mine.lost} of {mine.caught_before} caught frauds: "
        "hits come in bursts, and so do frauds."
    )
    _require(decided.ttl_s in kept, why, "brief.toml: cache; cache.toml: ttl_s")
    _require(decided.ttl_s == max(kept), "A longer one of the table is within the brief, too.", "cache.toml: ttl_s")
    why = f"With {decided.ttl_s} s, {100 * mine.hits:.1f} % of the payments are hits."
    _require(abs(decided.hits_percent - 100 * mine.hits) <= 0.3, why, "cache.toml: hits_percent")
    return Passed(
        {"hits": 100 * mine.hits, "hits_hour": 100 * hour.hits, "lost_hour": 100 * hour.lost / hour.caught_before}
        | {"ap_fresh": effects[0].average_precision, "ap_hour": hour.average_precision}
    )


def _require_time_to_live_kept(code: LearnerCode) -> None:
    draw = np.random.default_rng(0)
    key, event_s = draw.integers(0, 12, 400), np.cumsum(draw.integers(1, 30, 400)).astype(np.float64)
    told, look = np.asarray(code.call("source", key, event_s, 300.0)), "cache.py: source"
    places = told.shape == key.shape and np.issubdtype(told.dtype, np.integer) and (told >= 0).all()
    _require(places, "`source` is to answer one place for each payment: whole numbers, counted from 0.", look)
    _require((told <= np.arange(len(key))).all(), "A payment gets the features of a later one.", look)
    _require((key[told] == key).all(), "A payment gets the features of another terminal.", look)
    why = "Each hit renews the entry: a busy terminal is never looked at again, and its features are of last week."
    renewed = np.array_equal(told, _source(key, event_s, 300.0, sliding=True))
    _require(not renewed, why, f"{look}; time to live counts from when the features were made")
    right = np.array_equal(told, _source(key, event_s, 300.0))
    _require(right, "Some payments get features older than the time to live, or miss fresh ones.", look)


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


# ---- what they share


def _require(holds: object, why: str, look: str) -> None:
    if not holds:
        raise Incorrect(why, look)


def _part(name: str) -> ModuleType:
    """A module of the pristine `rig`: what the learner's copy says counts for nothing."""
    start = str(Path(__file__).parent / "start")
    if start not in sys.path:
        sys.path.insert(0, start)
    return import_module(f"rig.{name}")


def _brief(at: Workplace) -> dict[str, Any]:
    return tomllib.loads((at.start / "brief.toml").read_text())
