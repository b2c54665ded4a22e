"""Fraud as campaigns: each has a start, a method, victims, a few shops, and an end when the victims notice.

The campaigns that begin on one day are a function of (seed, that day). They are drawn at `MAX_FRAUD_SHARE` and thinned
to the wanted share, so the frauds of a world with half the share are a subset of this one's. For `data/world/world.py` only.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from data.world.config import MAX_FRAUD_SHARE, WorldConfig
from data.world.habits import RHYTHMS, SOLD, hour_table, second_of_day
from data.world.population import Population
from data.world.reports import fraud_reports, normal
from data.world.rows import NEVER, NO_DEVICE, Rows, concatenate
from data.world.spending import CONTACTLESS, DAY_MS, ONLINE, Spending, card_present
from data.world.streams import Stream, Words, date_of, fraction, generator, hashed
from data.world.tactics import PLAYBOOK, TACTICS, Phase, Tactic

LASTS_DAYS: Final = 30  # no campaign lasts longer
COPYING_DAYS: Final = 3  # how long a compromised till is read
MOST_USES: Final = 12  # per victim and phase
CALIBRATION_VICTIMS: Final = 6_000
WALLET_SHARE: Final = 0.31  # of contactless payments that come from a phone, as among honest ones: no leak by absence


@dataclass(frozen=True)
class Outbreak:
    """The campaigns that began on one day: their payments, and the cards to be replaced (card slot, first day of the new one)."""

    rows: Rows
    replaced_card: NDArray[np.int32]
    replaced_day: NDArray[np.int64]


class Campaigns:
    """Draws outbreaks."""

    def __init__(self, config: WorldConfig, population: Population, spending: Spending) -> None:
        self._config = config
        self._cards, self._terminals = population.cards, population.terminals
        self._spending = spending
        self._hours = hour_table()
        order = np.argsort(self._cards.town, kind="stable").astype(np.int32)
        self._by_town = order
        self._exposure = np.concatenate([[0.0], np.cumsum(self._cards.rate[order], dtype=np.float64)])
        self._town_edges = np.searchsorted(self._cards.town[order], np.arange(self._terminals.towns + 1))
        self._rows_per_victim = np.array([self._measure(tactic) for tactic in TACTICS])

    def beginning(self, day: int) -> Outbreak:
        """All campaigns that begin on a day (days since 1970)."""
        new = min(1.0, self._config.level("new_tactic", date_of(day)))
        share = self._config.fraud_share * (1 + self._config.level("fraud_rate", date_of(day)))
        kept = (share / (1 - share)) / (MAX_FRAUD_SHARE / (1 - MAX_FRAUD_SHARE))
        honest = self._spending.expected(day) * MAX_FRAUD_SHARE / (1 - MAX_FRAUD_SHARE)
        weight = np.array([tactic.weight / (tactic.victims) for tactic in TACTICS])
        candidates = generator(self._config.seed, Stream.CAMPAIGNS, day).poisson(honest * weight / self._rows_per_victim)
        outbreaks = []
        for code, tactic in enumerate(TACTICS):
            playbook = 1 - new if code < len(PLAYBOOK) else new
            campaign = hashed(self._config.seed, Stream.CAMPAIGNS, day, code, np.arange(candidates[code]))
            campaign = campaign[fraction(campaign) < kept * playbook]
            outbreaks.append(self._run(tactic, code, day, campaign))
        return Outbreak(
            concatenate([o.rows for o in outbreaks]),
            np.concatenate([o.replaced_card for o in outbreaks]),
            np.concatenate([o.replaced_day for o in outbreaks]),
        )

    def _measure(self, tactic: Tactic) -> float:
        """Mean frauds per victim before the holder notices, over victims of a day before time: the base of the thinning."""
        campaign = hashed(0, Stream.CAMPAIGNS, np.arange(round(CALIBRATION_VICTIMS / tactic.victims)))
        rows = self._run(tactic, 0, 0, campaign).rows
        return float(rows.fraud.sum()) / (len(campaign) * tactic.victims)

    def _run(self, tactic: Tactic, code: int, day: int, campaign: Words) -> Outbreak:
        size = _geometric(_again(campaign, 1), tactic.victims, 400)
        of = np.repeat(np.arange(len(campaign)), size)  # campaign of each victim
        nth = np.arange(len(of)) - np.repeat(np.cumsum(size) - size, size)
        victim = hashed(0, Stream.CAMPAIGNS, campaign[of], nth)
        card = self._choose_cards(tactic, campaign[of], victim)
        parts, victims = [], []
        for number, phase in enumerate(tactic.phases):
            rows, whose = self._uses(phase, number, code, day, tactic.copied_at_terminal, campaign[of], victim, card)
            parts.append(rows)
            victims.append(whose)
        rows, replaced_card, replaced_day = _until_noticed(concatenate(parts), np.concatenate(victims), day)
        if tactic.copied_at_terminal:
            rows = concatenate([rows, self._copying(code, day, campaign[of], victim, card)])
        return Outbreak(rows, replaced_card, replaced_day)

    def _choose_cards(self, tactic: Tactic, campaign: Words, victim: Words) -> NDArray[np.int32]:
        """Victims by exposure: a card used twice as much is stolen twice as often. Those of one till live in one town."""
        u = fraction(_again(victim, 2))
        low, high = np.zeros(len(victim)), np.full(len(victim), self._exposure[-1])
        if tactic.copied_at_terminal:
            town = self._till_town(campaign)
            low, high = self._exposure[self._town_edges[town]], self._exposure[self._town_edges[town + 1]]
        position = np.searchsorted(self._exposure, low + u * (high - low), side="right") - 1
        return self._by_town[np.minimum(position, len(self._by_town) - 1)]

    def _till_town(self, campaign: Words) -> NDArray[np.int64]:
        position = np.searchsorted(self._exposure, fraction(_again(campaign, 3)) * self._exposure[-1], side="right") - 1
        town: NDArray[np.int64] = self._cards.town[self._by_town[position]].astype(np.int64)
        return town

    def _uses(
        self, phase: Phase, number: int, code: int, day: int, copied: bool, campaign: Words, victim: Words, card: NDArray[np.int32]
    ) -> tuple[Rows, NDArray[np.int64]]:
        """The payments of one phase, and the position of each one's victim."""
        reached = np.flatnonzero(fraction(hashed(1, Stream.CAMPAIGNS, victim, number)) < phase.chance)
        uses = _geometric(hashed(2, Stream.CAMPAIGNS, victim[reached], number), phase.uses, MOST_USES)
        whose = np.repeat(reached, uses)
        nth = np.arange(len(whose)) - np.repeat(np.cumsum(uses) - uses, uses)
        use = hashed(3, Stream.CAMPAIGNS, victim[whose], number, nth)
        card, campaign = card[whose], campaign[whose]
        terminal, online = self._shops(phase, number, day, campaign, card, use)
        time = self._moments(phase, number, day, copied, campaign, victim[whose], nth, use, online)
        amount = np.log(phase.median) * (1 - phase.ticket) + self._terminals.log_ticket[terminal] * phase.ticket
        prices = 1 + self._config.level("inflation", date_of(day)) if day else 1.0
        euros = (np.exp(amount + phase.spread * normal(_again(use, 4))) * prices).astype(np.float32)
        channel = np.where(online, np.int8(ONLINE), card_present(euros, fraction(_again(use, 5)))).astype(np.int8)
        report, source = fraud_reports(self._config, time, euros, _again(victim[whose], 6), _again(use, 7))
        rows = Rows(
            time, card, terminal, euros, channel, self._devices(phase, day, campaign, victim[whose], card, channel, use),
            campaign, np.full(len(use), code, np.int8), np.ones(len(use), bool), report, source,
        )  # fmt: skip
        return rows, whose

    def _moments(
        self,
        phase: Phase,
        number: int,
        day: int,
        copied: bool,
        campaign: Words,
        victim: Words,
        nth: NDArray[np.int64],
        use: Words,
        online: NDArray[np.bool_],
    ) -> NDArray[np.int64]:
        """When each use happens: days after the start, at the tactic's hours (at a till, when it is open), then gap after gap."""
        first = hashed(4, Stream.CAMPAIGNS, victim, number)
        days = np.minimum(-np.log1p(-fraction(first)) * phase.delay_days, LASTS_DAYS - 8).astype(np.int64)
        if phase.hours == "burst":
            second = fraction(_again(campaign, 8)) * 80_000 - np.log1p(-fraction(first, 1)) * 600
        else:
            till = "leisure" if phase.hours == "night" else phase.hours
            rhythm = np.where(online, RHYTHMS.index(phase.hours), RHYTHMS.index(till))
            second = second_of_day(self._hours, rhythm, fraction(first, 1)).astype(np.float64)
        gap = phase.gap_s * np.exp(1.0 * normal(_again(use, 9))) * (nth > 0)
        total = np.cumsum(gap)
        starts = np.flatnonzero(nth == 0)
        total -= np.repeat(total[starts], np.diff(np.append(starts, len(total))))
        begin = day + days + number + (COPYING_DAYS if copied else 0)  # a later phase waits for the next day
        moments: NDArray[np.int64] = begin * DAY_MS + ((second + total) * 1000).astype(np.int64)
        return moments

    def _shops(
        self, phase: Phase, number: int, day: int, campaign: Words, card: NDArray[np.int32], use: Words
    ) -> tuple[NDArray[np.int32], NDArray[np.bool_]]:
        """Where: the campaign's few shops or any, online or in a town."""
        pick = _again(use, 10)
        if phase.merchants:
            pick = hashed(5, Stream.CAMPAIGNS, campaign, number, pick % np.uint64(phase.merchants))
        online = fraction(_again(pick, 11)) < phase.online
        trades = np.array([SOLD.index(c) for c in phase.categories])
        category = trades[(pick >> np.uint64(3)) % np.uint64(len(trades))]
        elsewhere = (_again(campaign, 12) % np.uint64(self._terminals.towns)).astype(np.int32)
        town = self._spending.home(day, card) if phase.home else elsewhere
        place = np.where(online, self._terminals.towns, town)
        rank = fraction(pick, 1)
        if phase.merchants:
            rank = np.cbrt(rank)  # the campaign's own shops are mostly little known
        return self._terminals.choose(place, category, rank).astype(np.int32), online

    def _devices(
        self, phase: Phase, day: int, campaign: Words, victim: Words, card: NDArray[np.int32], channel: NDArray[np.int8], use: Words
    ) -> Words:
        """The thief's new device, one of the ring's three, or the victim's own; none at a till without a phone."""
        if phase.device == "own":
            device = self._spending.device(day, card, np.zeros(len(card)), np.ones(len(card), bool))
        elif phase.device == "ring":
            device = hashed(6, Stream.CAMPAIGNS, campaign, victim % np.uint64(3))
        else:
            device = hashed(7, Stream.CAMPAIGNS, victim)
        involved = (channel == ONLINE) | ((channel == CONTACTLESS) & (fraction(_again(use, 13)) < WALLET_SHARE))
        return np.where(involved, device, np.uint64(NO_DEVICE))

    def _copying(self, code: int, day: int, campaign: Words, victim: Words, card: NDArray[np.int32]) -> Rows:
        """The honest payments at the compromised till during which the cards were copied."""
        trades = np.array([SOLD.index(c) for c in ("fuel", "restaurant", "grocery", "cash")])
        pick = _again(campaign, 14)
        category = trades[(pick >> np.uint64(3)) % np.uint64(len(trades))]
        terminal = self._terminals.choose(self._till_town(campaign), category, fraction(pick, 1)).astype(np.int32)
        visit = _again(victim, 15)
        rhythm = np.full(len(card), RHYTHMS.index("shop"))
        second = second_of_day(self._hours, rhythm, fraction(visit)).astype(np.float64)
        time = (day + (visit >> np.uint64(33)).astype(np.int64) % COPYING_DAYS) * DAY_MS + (second * 1000).astype(np.int64)
        spent = self._terminals.log_ticket[terminal] + 0.6 * self._cards.log_spend[card] + 0.7 * normal(_again(victim, 16))
        amount = np.exp(spent).astype(np.float32)
        n = len(card)
        return Rows(
            time, card, terminal, amount, card_present(amount, fraction(_again(victim, 17))), np.zeros(n, np.uint64),
            campaign, np.full(n, code, np.int8), np.zeros(n, bool), np.full(n, NEVER), np.zeros(n, np.int8),
        )  # fmt: skip


def _again(bits: Words, purpose: int) -> Words:
    """Fresh bits of the same owner for another purpose."""
    return hashed(8 + purpose, Stream.CAMPAIGNS, bits)


def _geometric(bits: Words, mean: float, most: int) -> NDArray[np.int64]:
    """Whole numbers from 1 with this mean, geometric, cut at `most`."""
    if mean <= 1:
        return np.ones(len(bits), np.int64)
    drawn: NDArray[np.int64] = np.minimum(1 + np.floor(np.log1p(-fraction(bits)) / np.log1p(-1 / mean)), most).astype(np.int64)
    return drawn


def _until_noticed(rows: Rows, victim: NDArray[np.int64], day: int) -> tuple[Rows, NDArray[np.int32], NDArray[np.int64]]:
    """Drop uses after the victim's first report, or after the campaign's end; then list the cards to replace and from which day."""
    order = np.lexsort((rows.time_ms, victim))
    rows, victim = rows.take(order), victim[order]
    beyond = 1 << 36  # ms; more than two years, so that the running minimum starts afresh with each victim
    report = np.where(rows.report_ms == NEVER, beyond - 1, rows.report_ms - day * DAY_MS)
    first = np.minimum.accumulate(report - victim * beyond) + victim * beyond  # earliest report among this and earlier uses
    before = np.concatenate([[beyond], first[:-1]])
    before[np.concatenate([[True], victim[1:] != victim[:-1]])[: len(victim)]] = beyond
    since = rows.time_ms - day * DAY_MS
    kept = (since < before[: len(victim)]) & (since < LASTS_DAYS * DAY_MS)
    noticed = kept & (rows.report_ms != NEVER)
    whose, at = np.unique(victim[noticed], return_index=True)
    known = np.minimum.reduceat(rows.report_ms[noticed], at) if len(whose) else rows.report_ms[:0]
    return rows.take(kept), rows.card[noticed][at], known // DAY_MS + 1
