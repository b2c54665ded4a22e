"""Fraud as campaigns: each has a start, a method, victims, a few shops, and an end when the victims notice.

Every fact of a campaign is hashed from (seed, day it begins, kind, number), so any day's campaigns can be drawn on their
own, and many days' at once. They are drawn at `MAX_FRAUD_SHARE` and thinned to the wanted share: the frauds of a world
with half the share are a subset of this one's. For `data/world/world.py` only.
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
from data.world.streams import Stream, Words, again, date_of, fraction, generator, hashed
from data.world.tactics import PLAYBOOK, TACTICS, Phase, Tactic

LASTS_DAYS: Final = 30  # no campaign lasts longer
COPYING_DAYS: Final = 3  # how long a compromised till is read
COPYING_TRADES: Final = ("fuel", "restaurant", "grocery", "cash")
MOST_VICTIMS: Final = 400
MOST_USES: Final = 12  # per victim and phase
CALIBRATION_VICTIMS: Final = 6_000  # per kind; holds the fraud share to about 1 %
WALLET_SHARE: Final = 0.31  # of contactless payments that come from a phone, as among honest ones: no leak by absence

Days = NDArray[np.int64]  # since 1970


@dataclass(frozen=True)
class Outbreak:
    """The campaigns that began within some days: their payments, and the cards to be replaced (slot, first day of the new one)."""

    rows: Rows
    replaced_card: NDArray[np.int32]
    replaced_day: Days


@dataclass(frozen=True)
class _Victims:
    """One entry per victim."""

    campaign: Words
    begun: Days
    own: Words  # bits of the victim
    card: NDArray[np.int32]

    def take(self, which: NDArray[np.int64]) -> "_Victims":
        return _Victims(self.campaign[which], self.begun[which], self.own[which], self.card[which])


class Campaigns:
    """Draws outbreaks."""

    def __init__(self, config: WorldConfig, population: Population, spending: Spending) -> None:
        self._config = config
        self._cards, self._terminals = population.cards, population.terminals
        self._spending = spending
        self._hours = hour_table()
        self._by_town = np.argsort(self._cards.town, kind="stable").astype(np.int32)
        self._exposure = np.concatenate([[0.0], np.cumsum(self._cards.rate[self._by_town], dtype=np.float64)])
        self._town_edges = np.searchsorted(self._cards.town[self._by_town], np.arange(self._terminals.towns + 1))
        self._per_campaign = np.array([self._measure(tactic) for tactic in TACTICS])

    def beginning(self, days: range) -> Outbreak:
        """All campaigns that begin on these days (days since 1970)."""
        share = np.array([self._config.fraud_share * (1 + self._config.level("fraud_rate", date_of(day))) for day in days])
        odds, most = share / (1 - share), MAX_FRAUD_SHARE / (1 - MAX_FRAUD_SHARE)
        new = np.minimum([self._config.level("new_tactic", date_of(day)) for day in days], 1.0)
        expected = np.array([self._spending.expected(day) for day in days]) * most
        weight = np.array([tactic.weight for tactic in TACTICS])
        random = (generator(self._config.seed, Stream.CAMPAIGNS, day) for day in days)
        candidates = np.array([r.poisson(frauds * weight / self._per_campaign) for r, frauds in zip(random, expected, strict=True)])
        outbreaks = []
        for code, tactic in enumerate(TACTICS):
            kept = odds / most * (1 - new if code < len(PLAYBOOK) else new)
            begun = np.repeat(np.array(days), candidates[:, code])
            number = np.concatenate([np.arange(count) for count in candidates[:, code]])
            campaign = hashed(self._config.seed, Stream.CAMPAIGNS, begun, code, number)
            chosen = fraction(campaign) < np.repeat(kept, candidates[:, code])
            if chosen.any() or code == 0:  # the first one always, so that there are columns to join
                outbreaks.append(self._run(tactic, code, campaign[chosen], begun[chosen]))
        return _joined(outbreaks)

    def _measure(self, tactic: Tactic) -> float:
        """Mean frauds per campaign before its victims notice, over campaigns before time: the base of the thinning."""
        campaign = hashed(0, Stream.CAMPAIGNS, np.arange(round(CALIBRATION_VICTIMS / tactic.victims)))
        size = _geometric(again(campaign, 1), tactic.victims, MOST_VICTIMS)
        rows = self._run(tactic, 0, campaign, np.zeros(len(campaign), np.int64)).rows
        return float(rows.fraud.sum()) / float(size.sum()) * tactic.victims

    def _run(self, tactic: Tactic, code: int, campaign: Words, begun: Days) -> Outbreak:
        size = _geometric(again(campaign, 1), tactic.victims, MOST_VICTIMS)
        of = np.repeat(np.arange(len(campaign)), size)
        nth = np.arange(len(of)) - np.repeat(np.cumsum(size) - size, size)
        bits = hashed(0, Stream.CAMPAIGNS, campaign[of], nth)
        victims = _Victims(campaign[of], begun[of], bits, self._choose_cards(tactic, campaign[of], bits))
        parts = [self._uses(phase, number, code, tactic.copied_at_terminal, victims) for number, phase in enumerate(tactic.phases)]
        whose = np.concatenate([position for _, position in parts])
        outbreak = _until_noticed(concatenate([rows for rows, _ in parts]), whose, victims.begun)
        if not tactic.copied_at_terminal:
            return outbreak
        rows = concatenate([outbreak.rows, self._copying(code, victims)])
        return Outbreak(rows, outbreak.replaced_card, outbreak.replaced_day)

    def _choose_cards(self, tactic: Tactic, campaign: Words, victim: Words) -> NDArray[np.int32]:
        """Victims by exposure: a card used twice as much is stolen twice as often. Those of one till live in one town."""
        low, high = np.zeros(len(victim)), np.full(len(victim), self._exposure[-1])
        if tactic.copied_at_terminal:
            town = self._till_town(campaign)
            low, high = self._exposure[self._town_edges[town]], self._exposure[self._town_edges[town + 1]]
        return self._exposed(low + fraction(again(victim, 2)) * (high - low))

    def _till_town(self, campaign: Words) -> NDArray[np.int64]:
        """The town of a compromised till: large ones more often."""
        somebody = self._exposed(fraction(again(campaign, 3)) * self._exposure[-1])
        town: NDArray[np.int64] = self._cards.town[somebody].astype(np.int64)
        return town

    def _exposed(self, position: NDArray[np.float64]) -> NDArray[np.int32]:
        """The card at a position of the cumulated payments per day, towns one after another."""
        rank = np.searchsorted(self._exposure, position, side="right") - 1
        return self._by_town[np.minimum(rank, len(self._by_town) - 1)]

    def _uses(self, phase: Phase, number: int, code: int, copied: bool, victims: _Victims) -> tuple[Rows, NDArray[np.int64]]:
        """The payments of one phase, and the position of each one's victim."""
        reached = np.flatnonzero(fraction(hashed(1, Stream.CAMPAIGNS, victims.own, number)) < phase.chance)
        uses = _geometric(hashed(2, Stream.CAMPAIGNS, victims.own[reached], number), phase.uses, MOST_USES)
        whose = np.repeat(reached, uses)
        nth = np.arange(len(whose)) - np.repeat(np.cumsum(uses) - uses, uses)
        by = victims.take(whose)
        use = hashed(3, Stream.CAMPAIGNS, by.own, number, nth)
        terminal, online = self._shops(phase, number, by, use)
        time = self._moments(phase, number, copied, by, nth, use, online)
        price = np.log(phase.median) * (1 - phase.ticket) + self._terminals.log_ticket[terminal] * phase.ticket
        euros = (np.exp(price + phase.spread * normal(again(use, 4))) * self._prices(by.begun)).astype(np.float32)
        channel = np.where(online, np.int8(ONLINE), card_present(euros, fraction(again(use, 5)))).astype(np.int8)
        report, source = fraud_reports(self._config, time, euros, again(by.own, 6), again(use, 7))
        rows = Rows(
            time, by.card, terminal, euros, channel, self._devices(phase, by, channel, use),
            by.campaign, np.full(len(use), code, np.int8), np.ones(len(use), bool), report, source,
        )  # fmt: skip
        return rows, whose

    def _prices(self, begun: Days) -> NDArray[np.float64]:
        days, inverse = np.unique(begun, return_inverse=True)
        return np.array([1 + self._config.level("inflation", date_of(int(day))) for day in days])[inverse]

    def _moments(
        self, phase: Phase, number: int, copied: bool, by: _Victims, nth: NDArray[np.int64], use: Words, online: NDArray[np.bool_]
    ) -> NDArray[np.int64]:
        """When each use happens: days after the start, at the tactic's hours (at a till, when it is open), then gap after gap."""
        first = hashed(4, Stream.CAMPAIGNS, by.own, number)
        days = np.minimum(-np.log1p(-fraction(first)) * phase.delay_days, LASTS_DAYS - 8).astype(np.int64)
        if phase.hours == "burst":
            second = fraction(again(by.campaign, 8)) * 80_000 - np.log1p(-fraction(first, 1)) * 600
        else:
            till = "leisure" if phase.hours == "night" else phase.hours
            rhythm = np.where(online, RHYTHMS.index(phase.hours), RHYTHMS.index(till))
            second = second_of_day(self._hours, rhythm, fraction(first, 1)).astype(np.float64)
        total = np.cumsum(phase.gap_s * np.exp(normal(again(use, 9))) * (nth > 0))
        starts = np.flatnonzero(nth == 0)
        total -= np.repeat(total[starts], np.diff(np.append(starts, len(total))))
        begin = by.begun + days + number + (COPYING_DAYS if copied else 0)  # a later phase waits for the next day
        moments: NDArray[np.int64] = begin * DAY_MS + ((second + total) * 1000).astype(np.int64)
        return moments

    def _shops(self, phase: Phase, number: int, by: _Victims, use: Words) -> tuple[NDArray[np.int32], NDArray[np.bool_]]:
        """Where: the campaign's few shops or any, online or in a town."""
        pick = again(use, 10)
        if phase.merchants:
            pick = hashed(5, Stream.CAMPAIGNS, by.campaign, number, pick % np.uint64(phase.merchants))
        online = fraction(again(pick, 11)) < phase.online
        town = self._spending.home(by.begun, by.card)
        if not phase.home:
            town = (again(by.campaign, 12) % np.uint64(self._terminals.towns)).astype(np.int32)
        place = np.where(online, self._terminals.towns, town)
        rank = fraction(pick, 1)
        if phase.merchants:
            rank = np.cbrt(rank)  # the campaign's own shops are mostly little known
        return self._terminals.choose(place, _trade(phase.categories, pick), rank).astype(np.int32), online

    def _devices(self, phase: Phase, by: _Victims, channel: NDArray[np.int8], use: Words) -> Words:
        """The thief's new device, one of the ring's three, or the victim's own; none at a till without a phone."""
        if phase.device == "own":
            device = self._spending.device(by.begun, by.card, np.zeros(len(use)), np.ones(len(use), bool))
        elif phase.device == "ring":
            device = hashed(6, Stream.CAMPAIGNS, by.campaign, by.own % np.uint64(3))
        else:
            device = again(by.own, 18)
        involved = (channel == ONLINE) | ((channel == CONTACTLESS) & (fraction(again(use, 13)) < WALLET_SHARE))
        return np.where(involved, device, np.uint64(NO_DEVICE))

    def _copying(self, code: int, victims: _Victims) -> Rows:
        """The honest payments at the compromised till during which the cards were copied."""
        pick, visit, count = again(victims.campaign, 14), again(victims.own, 15), len(victims.card)
        town = self._till_town(victims.campaign)
        terminal = self._terminals.choose(town, _trade(COPYING_TRADES, pick), fraction(pick, 1)).astype(np.int32)
        second = second_of_day(self._hours, np.full(count, RHYTHMS.index("shop")), fraction(visit)).astype(np.float64)
        day = victims.begun + (visit >> np.uint64(33)).astype(np.int64) % COPYING_DAYS
        spent = self._terminals.log_ticket[terminal] + 0.6 * self._cards.log_spend[victims.card] + 0.7 * normal(again(victims.own, 16))
        amount = np.exp(spent).astype(np.float32)
        return Rows(
            day * DAY_MS + (second * 1000).astype(np.int64), victims.card, terminal, amount,
            card_present(amount, fraction(again(victims.own, 17))), np.full(count, NO_DEVICE, np.uint64), victims.campaign,
            np.full(count, code, np.int8), np.zeros(count, bool), np.full(count, NEVER), np.zeros(count, np.int8),
        )  # fmt: skip


def _trade(categories: tuple[str, ...], pick: Words) -> NDArray[np.int64]:
    """One of these categories, as an index into SOLD."""
    trades = np.array([SOLD.index(category) for category in categories])
    chosen: NDArray[np.int64] = trades[(pick >> np.uint64(3)) % np.uint64(len(trades))]
    return chosen


def _geometric(bits: Words, mean: float, most: int) -> NDArray[np.int64]:
    """Whole numbers from 1 with this mean, geometric, cut at `most`."""
    if mean <= 1:
        return np.ones(len(bits), np.int64)
    drawn: NDArray[np.int64] = np.minimum(1 + np.floor(np.log1p(-fraction(bits)) / np.log1p(-1 / mean)), most).astype(np.int64)
    return drawn


def _until_noticed(rows: Rows, victim: NDArray[np.int64], begun: Days) -> Outbreak:
    """Drop uses after the victim's first report, or after the campaign's end; the cards noticed are replaced the day after."""
    order = np.lexsort((rows.time_ms, victim))
    rows, victim = rows.take(order), victim[order]
    start = begun[victim] * DAY_MS
    beyond = 1 << 36  # ms; more than two years, so that the running minimum starts afresh with each victim
    report = np.where(rows.report_ms == NEVER, beyond - 1, rows.report_ms - start)
    earliest = np.minimum.accumulate(report - victim * beyond) + victim * beyond  # among this use and those before
    same = np.concatenate([[False], victim[1:] == victim[:-1]])
    before = np.where(same, np.roll(earliest, 1), beyond)
    since = rows.time_ms - start
    kept = (since < before) & (since < LASTS_DAYS * DAY_MS)
    rows, victim = rows.take(kept), victim[kept]
    noticed = np.flatnonzero(rows.report_ms != NEVER)
    _, at = np.unique(victim[noticed], return_index=True)
    known = np.minimum.reduceat(rows.report_ms[noticed], at) if len(at) else rows.report_ms[:0]
    return Outbreak(rows, rows.card[noticed][at], known // DAY_MS + 1)


def _joined(outbreaks: list[Outbreak]) -> Outbreak:
    return Outbreak(
        concatenate([o.rows for o in outbreaks]),
        np.concatenate([o.replaced_card for o in outbreaks]),
        np.concatenate([o.replaced_day for o in outbreaks]),
    )
