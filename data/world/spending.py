"""A day of honest payments, with all that looks like fraud and is not: trips, gifts, first visits, retries, large
one-offs, subscriptions at night, a new phone, a house move, a card used by two people.

`Spending.day` draws one day whole, vectorised over its rows. For `data/world/world.py` only.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from data.schema import CHANNELS
from data.world.config import WorldConfig
from data.world.habits import (
    CELLS,
    ONLINE_MIX,
    RHYTHMS,
    SEGMENTS,
    SOLD,
    STAYING_HOME_MIX,
    TRADES,
    TRIP_MIX,
    category_table,
    draw_table,
    hour_table,
    second_of_day,
)  # fmt: skip
from data.world.population import DORMANT_BLOCK_DAYS, DORMANT_SHARE, PHONE_LIFE_DAYS, SUBSCRIPTION_DAYS, Population
from data.world.rows import NO_DEVICE, Rows, concatenate, genuine_rows
from data.world.streams import Stream, Words, date_of, fraction, generator, hashed

DAY_MS: Final = 86_400_000
CHIP, CONTACTLESS, ONLINE = CHANNELS.index("chip"), CHANNELS.index("contactless"), CHANNELS.index("online")
CONTACTLESS_LIMIT: Final = 50.0  # EUR without a PIN, as in the EU
FAVOURITES: Final = 8  # places a customer returns to, in person and online each
FAVOURITE_SHARE: Final = 0.68
RENEWAL_DAYS: Final = 240  # each favourite is given up after so long
TRIP_BLOCK_DAYS: Final = 28
DAY_OUT_SHARE: Final = 0.04  # of customers' days are spent in some other town
COMPANION_SHARE: Final = 0.030  # payments soon followed by another: a retry, a second basket, the shop next door
ONE_OFF_SHARE: Final = 0.012  # large purchases
GIFT_SHARE: Final = 0.006
FORGOTTEN_SHARE: Final = 0.12  # online payments from a browser that the shop does not recognise: private mode, cookies deleted
SHARED_SHARE: Final = 0.10  # cards that a partner uses too

_FAVOURITE_SLOT = draw_table(1.0 / np.arange(1, FAVOURITES + 1))
_RHYTHM = np.array([RHYTHMS.index(TRADES[c].rhythm) for c in SOLD], np.int32)
_SPREAD = np.array([TRADES[c].spread for c in SOLD], np.float32)
_WEEKEND = np.array([s.weekend for s in SEGMENTS.values()], np.float32)
_TRIPS = np.array([s.trips for s in SEGMENTS.values()], np.float32)
_GIFTS = np.array([SOLD.index(c) for c in ("gift_cards", "jewellery", "digital_goods", "fashion")], np.int8)
_SUBSCRIBED = np.array([SOLD.index(c) for c in ("digital_goods", "services", "entertainment")], np.int8)


class Spending:
    """Honest payments of a population."""

    def __init__(self, config: WorldConfig, population: Population) -> None:
        self._config = config
        self._seed = config.seed
        self._cards = population.cards
        self._terminals = population.terminals
        self._categories = category_table()
        self._hours = hour_table()

    def expected(self, day: int) -> float:
        """Expected honest payments of a day (days since 1970), to a few per cent: the base of the fraud share."""
        rates = self._cards.rate * self._calendar(day)
        monthly = float(self._cards.subscriptions.sum()) / SUBSCRIPTION_DAYS
        return float(rates.sum()) * (1 - DORMANT_SHARE) * (1 + COMPANION_SHARE) + monthly * (1 - DORMANT_SHARE)

    def day(self, day: int) -> Rows:
        """All honest payments of a day, in no particular order."""
        visits = self._visits(day)
        parts = [visits, self._companions(day, visits), self._subscriptions(day)]
        return concatenate(parts)

    def _calendar(self, day: int) -> NDArray[np.float32]:
        """How busy each card is on this day against an ordinary one: weekday, season, salary, growth."""
        today = date_of(day)
        weekend = _WEEKEND if today.weekday() >= 5 else np.float32(1.0) * (7 - 2 * _WEEKEND) / 5
        year = today.timetuple().tm_yday * 2 * np.pi / 365.25
        season = 1 + 0.05 * np.sin(year) + (0.25 if today.month == 12 and today.day < 25 else 0.0)
        grown = (1 + self._config.growth_per_year) ** ((today - self._config.start).days / 365.25)
        since_salary = (today.day - self._cards.salary_day) % 30
        salary = np.where(since_salary < 5, np.float32(1.20), np.float32(0.96))
        share = np.float32(season * grown / ((1 - DORMANT_SHARE) * (1 + COMPANION_SHARE)))
        return weekend.astype(np.float32)[self._cards.segment] * salary * share

    def _awake(self, day: int) -> NDArray[np.bool_]:
        block = (day + self._cards.phase) // DORMANT_BLOCK_DAYS
        slots = np.arange(len(self._cards), dtype=np.int32)
        return fraction(hashed(self._seed, Stream.DORMANCY, slots, block)) >= DORMANT_SHARE

    def _visits(self, day: int) -> Rows:
        cards = self._cards
        counts = generator(self._seed, Stream.COUNTS, day).poisson(cards.rate * self._calendar(day) * self._awake(day))
        card = np.repeat(np.arange(len(cards), dtype=np.int32), counts)
        random = generator(self._seed, Stream.PLACES, day)
        online = random.random(len(card), np.float32) < cards.online[card]
        shifted, moved_online = self._shifts(day, len(card))
        online |= shifted | moved_online
        place, travelling = self._place(day, card, online, random)
        bits = self._taste_bits(day, card, online, travelling, shifted, random)
        mix = np.where(travelling, np.int32(TRIP_MIX), cards.segment[card].astype(np.int32)) + np.where(online, ONLINE_MIX, 0).astype(
            np.int32
        )
        mix[shifted] = STAYING_HOME_MIX
        category = self._categories.ravel()[mix * np.int32(CELLS) + (bits & np.uint64(CELLS - 1)).astype(np.int32)]
        gift = random.random(len(card), np.float32) < GIFT_SHARE
        category[gift] = _GIFTS[(bits[gift] >> np.uint64(10)) & np.uint64(3)]
        place[gift & (category == SOLD.index("digital_goods"))] = self._terminals.towns
        online = place == self._terminals.towns
        terminal = self._terminals.choose(place, category, fraction(bits, 1).astype(np.float32))
        amount = self._amounts(day, card, terminal, category, gift, shifted)
        channel = self._channels(day, amount, online)
        time = self._times(day, card, category, online, shifted)
        return genuine_rows(time, card, terminal, amount, channel, self._devices(day, card, channel))

    def _shifts(self, day: int, rows: int) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Rows that a `behaviour_shift` and a `channel_mix` change have moved."""
        today = date_of(day)
        shift, push = self._config.level("behaviour_shift", today), self._config.level("channel_mix", today)
        if shift == 0 and push == 0:
            return np.zeros(rows, bool), np.zeros(rows, bool)
        random = generator(self._seed, Stream.SHIFT, day)
        return random.random(rows) < 0.6 * shift, random.random(rows) < push

    def _place(
        self, day: int, card: NDArray[np.int32], online: NDArray[np.bool_], random: np.random.Generator
    ) -> tuple[NDArray[np.int32], NDArray[np.bool_]]:
        """Where each payment is made (a town, or the online place after the last town), and whether on a trip."""
        cards, towns = self._cards, self._terminals.towns
        customer = cards.customer[card]
        since = day + customer * np.int32(11)
        block, within = since // TRIP_BLOCK_DAYS, since % TRIP_BLOCK_DAYS
        trip = hashed(self._seed, Stream.TRIPS, customer, block)
        begins, lasts = (trip >> np.uint64(32)) % np.uint64(20), (trip >> np.uint64(40)) % np.uint64(7) + np.uint64(2)
        travelling = (fraction(trip) < _TRIPS[cards.segment[card]]) & (within >= begins) & (within < begins + lasts)
        place = np.where(random.random(len(card), np.float32) < 0.2, cards.work_town[card], self.home(day, card))
        today = hashed(self._seed, Stream.TRIPS + 1000, customer, day)
        place = np.where(fraction(today) < DAY_OUT_SHARE, (today >> np.uint64(32)) % np.uint64(towns), place)
        place = np.where(travelling, (trip >> np.uint64(48)) % np.uint64(towns), place)
        return np.where(online, np.int32(towns), place).astype(np.int32), travelling

    def home(self, day: int | NDArray[np.int64], card: NDArray[np.int32]) -> NDArray[np.int32]:
        """The town where each card's holder lives on this day (one for all, or one each)."""
        moved = day >= self._cards.move_day[card]
        return np.where(moved, self._cards.next_town[card], self._cards.town[card]).astype(np.int32)

    def _taste_bits(
        self,
        day: int,
        card: NDArray[np.int32],
        online: NDArray[np.bool_],
        travelling: NDArray[np.bool_],
        shifted: NDArray[np.bool_],
        random: np.random.Generator,
    ) -> Words:
        """64 bits that choose category and shop: the customer's own, again and again, at a favourite; fresh ones elsewhere."""
        bits = random.integers(0, 2**64, len(card), np.uint64, endpoint=False)
        favourite = random.random(len(card), np.float32) < FAVOURITE_SHARE
        favourite &= ~((travelling & ~online) | shifted)
        card = card[favourite]
        slot = _FAVOURITE_SLOT[(bits[favourite] >> np.uint64(20)) & np.uint64(CELLS - 1)].astype(np.int32)
        customer = self._cards.customer[card]
        lived = (day + customer * np.int32(37) + slot * np.int32(RENEWAL_DAYS // FAVOURITES)) // RENEWAL_DAYS
        moved = day >= self._cards.move_day[card]
        which = slot + 16 * online[favourite].astype(np.int32) + 32 * moved.astype(np.int32)
        bits[favourite] = hashed(self._seed, Stream.FAVOURITES, customer, lived * np.int32(64) + which)
        return bits

    def _amounts(
        self,
        day: int,
        card: NDArray[np.int32],
        terminal: NDArray[np.int32],
        category: NDArray[np.integer],
        gift: NDArray[np.bool_],
        shifted: NDArray[np.bool_],
    ) -> NDArray[np.float32]:
        random = generator(self._seed, Stream.AMOUNTS, day)
        log = random.standard_normal(len(card), np.float32) * _SPREAD[category]
        log += self._terminals.log_ticket[terminal] + np.float32(0.6) * self._cards.log_spend[card]
        one_off = random.random(len(card), np.float32)
        log += np.where(one_off < ONE_OFF_SHARE, np.float32(1.2) + one_off * np.float32(1 / ONE_OFF_SHARE), np.float32(0))
        log += gift * np.float32(0.5) + shifted * np.float32(0.3)
        prices = np.float32(1 + self._config.level("inflation", date_of(day)))
        amount: NDArray[np.float32] = np.exp(log) * prices
        return amount

    def _channels(self, day: int, amount: NDArray[np.float32], online: NDArray[np.bool_]) -> NDArray[np.int8]:
        u = generator(self._seed, Stream.DEVICES, day).random(len(amount), np.float32)
        return np.where(online, np.int8(ONLINE), card_present(amount, u))

    def _times(
        self, day: int, card: NDArray[np.int32], category: NDArray[np.integer], online: NDArray[np.bool_], shifted: NDArray[np.bool_]
    ) -> NDArray[np.int64]:
        random = generator(self._seed, Stream.TIMES, day)
        rhythm = np.where(online, np.int32(RHYTHMS.index("online")), _RHYTHM[category])
        rhythm[shifted] = RHYTHMS.index("evening")
        seconds = second_of_day(self._hours, rhythm, random.random(len(card), np.float32)) + self._cards.shift_s[card]
        jitter = random.random(len(card), np.float32)  # float32 seconds are coarser than a millisecond
        return day * DAY_MS + (seconds % np.float32(86_400)).astype(np.int64) * 1000 % DAY_MS + (jitter * np.float32(1000)).astype(np.int64)

    def _devices(self, day: int, card: NDArray[np.int32], channel: NDArray[np.int8]) -> Words:
        """Device per payment: online always, contactless when the holder pays by phone, else none."""
        u = generator(self._seed, Stream.DEVICES, day + 1_000_000).random(len(card), np.float32)
        involved = (channel == ONLINE) | ((channel == CONTACTLESS) & self._cards.wallet[card] & (u < 0.7))
        at = np.flatnonzero(involved)
        devices = np.full(len(card), NO_DEVICE, np.uint64)
        devices[at] = self.device(day, card[at], (u[at] * 997) % 1, channel[at] == CONTACTLESS)
        forgotten = np.flatnonzero((channel == ONLINE) & (u < FORGOTTEN_SHARE))
        devices[forgotten] = hashed(self._seed, Stream.GADGETS, card[forgotten], day, forgotten)
        return devices

    def device(self, day: int | NDArray[np.int64], card: NDArray[np.int32], u: NDArray[np.floating], phone: NDArray[np.bool_]) -> Words:
        """A device of the holder for uniform `u`: the phone, the laptop, the household's tablet, or the partner's phone."""
        cards = self._cards
        customer, household = cards.customer[card], cards.household[card]
        bought = (day + customer * np.int32(53)) // PHONE_LIFE_DAYS
        shared = customer % 10 < SHARED_SHARE * 10
        which = np.where(phone | (u < 0.62), 0, np.where(u < 0.90, 1, 2))
        which = np.where(shared & (u < 0.25), 3, which)
        owner = np.where(which >= 2, household, customer)
        generation = np.where(which == 1, 0, np.where(which == 2, 0, bought))
        return hashed(self._seed, Stream.GADGETS, owner, generation * 4 + which)

    def _companions(self, day: int, visits: Rows) -> Rows:
        """Payments that follow another within minutes: retries, second baskets, the shop next door."""
        random = generator(self._seed, Stream.COMPANIONS, day)
        first = np.flatnonzero(random.random(len(visits), np.float32) < COMPANION_SHARE)
        rows = visits.take(first)
        count = len(first)
        wait = 20_000 + (random.standard_exponential(count) * 240_000).astype(np.int64)
        retry = random.random(count) < 0.35  # the very same payment, tried again
        next_door = ~retry & (random.random(count) < 0.5) & (rows.channel != ONLINE)
        other = self._terminals.choose(
            self._terminals.place[rows.terminal], random.integers(0, len(SOLD) - 1, count, np.int32), random.random(count)
        )  # fmt: skip
        amount = np.where(retry, rows.amount, rows.amount * np.exp(random.normal(-0.3, 0.8, count))).astype(np.float32)
        time = rows.time_ms + wait
        terminal = np.where(next_door, other, rows.terminal).astype(np.int32)
        kept = time < (day + 1) * DAY_MS
        return genuine_rows(time, rows.card, terminal, amount, rows.channel, rows.device).take(kept)

    def _subscriptions(self, day: int) -> Rows:
        """The same shop, the same amount, once a month, in the small hours."""
        cards = self._cards
        slot = np.arange(len(cards), dtype=np.int32)
        due, number = [], []
        for nth in range(int(cards.subscriptions.max(initial=0))):
            hit = np.flatnonzero((cards.subscriptions > nth) & ((day + cards.phase + 13 * nth) % SUBSCRIPTION_DAYS == 0))
            due.append(slot[hit])
            number.append(np.full(len(hit), nth))
        card = np.concatenate(due) if due else slot[:0]
        awake = self._awake(day)[card]
        card = card[awake]
        bits = hashed(self._seed, Stream.SUBSCRIPTIONS, card, np.concatenate(number)[awake]) if due else np.empty(0, np.uint64)
        category = _SUBSCRIBED[bits % np.uint64(3)]
        terminal = self._terminals.choose(np.full(len(card), self._terminals.towns), category, fraction(bits, 1))
        log = self._terminals.log_ticket[terminal] + 0.4 * (fraction(bits) - 0.5)
        seconds = generator(self._seed, Stream.SUBSCRIPTIONS, day).uniform(2 * 3600, 6 * 3600, len(card))
        time = day * DAY_MS + (seconds * 1000).astype(np.int64)
        channel = np.full(len(card), ONLINE, np.int8)
        device = self.device(day, card, np.zeros(len(card)), np.ones(len(card), bool))
        return genuine_rows(time, card, terminal.astype(np.int32), np.exp(log).astype(np.float32), channel, device)


def card_present(amount: NDArray[np.floating], u: NDArray[np.floating]) -> NDArray[np.int8]:
    """Chip or contactless, by the limit and a uniform number."""
    touch = np.where(amount < CONTACTLESS_LIMIT, np.float32(0.8), np.float32(0.25))
    return np.where(u < touch, np.int8(CONTACTLESS), np.int8(CHIP))
