"""Who lives in the world: towns, terminals and cards, drawn once from the seed.

People and shops are *slots*. A slot is occupied from before the world begins; shops close and are followed by others,
cards expire and are replaced, phones are bought: the slot then carries a new token. So nothing has a day of birth
that a model could read off its id, and any day can be drawn without the days before it.
For the files of `data/world/` only.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from data.world.config import WorldConfig
from data.world.habits import SEGMENTS, SOLD, TRADES
from data.world.streams import Stream, day_number, generator, hashed

SHOP_LIFE_DAYS: Final = 1_500
CARD_LIFE_DAYS: Final = 1_095  # three years, as issuers print on cards
PHONE_LIFE_DAYS: Final = 800
MOVES_WITHIN_DAYS: Final = 3_000  # each household moves once within so many days around the start
DORMANT_BLOCK_DAYS: Final = 45
DORMANT_SHARE: Final = 0.12
SUBSCRIPTION_DAYS: Final = 30  # between two charges
CARDS_PER_CUSTOMER: Final = (0.75, 0.20, 0.05)  # one, two, three
ONLINE_TERMINALS: Final = 0.22  # share of the terminals
SHRINK: Final = 0.66  # a degree of longitude against one of latitude at 49 degrees north


@dataclass(frozen=True)
class Terminals:
    """Shops' tills and online shops, sorted by place and category; within such a group the first is the most visited."""

    first: NDArray[np.int32]  # start of each (place, category) group, flat; an empty group points to the place's grocers
    size: NDArray[np.int32]  # terminals in it
    place: NDArray[np.int16]  # town, or the online place
    category: NDArray[np.int8]  # index into SOLD
    latitude: NDArray[np.float64]
    longitude: NDArray[np.float64]
    log_ticket: NDArray[np.float32]  # logarithm of the median amount, EUR
    pricing: NDArray[np.int8]  # 0 free cents, 1 ends in 99, 2 whole EUR, 3 tens
    phase: NDArray[np.int32]  # days, of its life
    towns: int

    def choose(self, place: NDArray[np.integer], category: NDArray[np.integer], u: NDArray[np.floating]) -> NDArray[np.int32]:
        """A terminal of that place and category, for uniform `u`: popularity falls with rank^(-2/3), a power law.

        The place after the last town is online.
        """
        group = place * np.int32(len(SOLD)) + category
        chosen: NDArray[np.int32] = self.first[group] + (self.size[group] * (u * u * u)).astype(np.int32)
        return chosen


@dataclass(frozen=True)
class Cards:
    """Cards with the traits of their holders; the cards of one customer are neighbours."""

    customer: NDArray[np.int32]
    household: NDArray[np.int32]
    segment: NDArray[np.int8]
    rate: NDArray[np.float32]  # genuine payments per ordinary day
    log_spend: NDArray[np.float32]
    online: NDArray[np.float32]  # probability that a purchase is made online
    wallet: NDArray[np.bool_]  # pays contactless with a phone
    town: NDArray[np.int16]
    next_town: NDArray[np.int16]
    work_town: NDArray[np.int16]
    move_day: NDArray[np.int32]  # days since 1970
    shift_s: NDArray[np.int32]  # how much later than others they are up
    salary_day: NDArray[np.int8]  # of the month
    phase: NDArray[np.int32]  # days, of all that recurs
    subscriptions: NDArray[np.int8]

    def __len__(self) -> int:
        return len(self.customer)


@dataclass(frozen=True)
class Population:
    """Everybody and every shop."""

    cards: Cards
    terminals: Terminals


def settle(config: WorldConfig) -> Population:
    """Draw the population: about 1.5 cards and a quarter of a terminal per daily payment."""
    latitude, longitude, weight = _towns(config)
    terminals = _terminals(config, latitude, longitude, weight)
    return Population(_cards(config, weight, _neighbours(latitude, longitude)), terminals)


def _towns(config: WorldConfig) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    random = generator(config.seed, Stream.TOWNS)
    towns = int(np.clip(np.sqrt(config.transactions_per_day) / 3.5, 6, 60))
    weight = 1.0 / np.arange(1, towns + 1) ** 0.9  # Zipf's law of town sizes
    return random.uniform(46.0, 52.0, towns), random.uniform(4.0, 12.0, towns), weight / weight.sum()


def _terminals(
    config: WorldConfig, latitude: NDArray[np.float64], longitude: NDArray[np.float64], weight: NDArray[np.float64]
) -> Terminals:
    random = generator(config.seed, Stream.TERMINALS)
    towns, trades = len(weight), len(SOLD)
    count = max(3 * trades, round(config.transactions_per_day / config.transactions_per_terminal))
    in_person = np.sqrt([TRADES[c].visits for c in SOLD])  # quiet trades have fewer visits per till
    online = np.sqrt([TRADES[c].online for c in SOLD])
    n_online = max(trades, round(count * ONLINE_TERMINALS))
    place = random.choice(towns, count, p=weight)
    place[:n_online] = towns
    category = random.choice(trades, count, p=in_person / in_person.sum())
    category[:n_online] = random.choice(trades, n_online, p=online / online.sum())
    category[:trades] = np.arange(trades)  # every trade is online somewhere,
    grocers = slice(n_online, n_online + towns)
    place[grocers], category[grocers] = np.arange(towns), SOLD.index("grocery")  # and no town is without food
    order = np.lexsort((category, place))
    place, category = place[order], category[order]
    first, size = _groups(place, category, towns)
    spread = np.array([TRADES[c].spread for c in SOLD])[category] * 0.6
    ticket = np.log([TRADES[c].ticket for c in SOLD])[category] + random.normal(0, 1, count) * spread
    pricing = random.choice(3, count, p=[0.62, 0.22, 0.16])
    pricing[category == SOLD.index("cash")] = 3
    at = np.minimum(place, towns - 1)
    here = place < towns
    return Terminals(
        first, size, place.astype(np.int16), category.astype(np.int8),
        latitude=np.where(here, latitude[at] + random.normal(0, 0.04, count), np.nan),
        longitude=np.where(here, longitude[at] + random.normal(0, 0.06, count), np.nan),
        log_ticket=ticket.astype(np.float32), pricing=pricing.astype(np.int8),
        phase=random.integers(0, SHOP_LIFE_DAYS, count, np.int32), towns=towns,
    )  # fmt: skip


def _groups(place: NDArray[np.int64], category: NDArray[np.int64], towns: int) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Start and size of each (place, category) group of sorted terminals.

    Who looks for a trade that the town lacks goes to its grocers: nobody flies across the country for a pharmacy.
    """
    trades = len(SOLD)
    size = np.bincount(place * trades + category, minlength=(towns + 1) * trades)
    first: NDArray[np.int64] = np.cumsum(size) - size
    grocers = np.arange(len(size)) // trades * trades + SOLD.index("grocery")
    group = np.where(size > 0, np.arange(len(size)), grocers)
    return first[group].astype(np.int32), size[group].astype(np.int32)


def _neighbours(latitude: NDArray[np.float64], longitude: NDArray[np.float64]) -> NDArray[np.int64]:
    """The nearest other town of each town."""
    distance = np.hypot(latitude[:, None] - latitude, (longitude[:, None] - longitude) * SHRINK)
    np.fill_diagonal(distance, np.inf)
    nearest: NDArray[np.int64] = distance.argmin(axis=1)
    return nearest


def _cards(config: WorldConfig, weight: NDArray[np.float64], neighbour: NDArray[np.int64]) -> Cards:
    random = generator(config.seed, Stream.CUSTOMERS)
    per_customer = np.dot(CARDS_PER_CUSTOMER, [1, 2, 3])
    people = round(config.transactions_per_day * config.cards_per_daily_transaction / per_customer)
    towns = len(weight)
    segment = random.choice(len(SEGMENTS), people, p=[s.share for s in SEGMENTS.values()])
    traits = {name: np.array([getattr(s, name) for s in SEGMENTS.values()])[segment] for name in ("activity", "spend", "online")}
    rate = traits["activity"] * random.standard_gamma(1.6, people) + 0.02
    online = np.clip(random.beta(2.0, 2.0, people) * 2 * traits["online"], 0.01, 0.9)
    household = np.arange(people) - (random.random(people) < 0.4)  # four in ten share one with their neighbour
    town = random.choice(towns, people, p=weight)
    day = day_number(config.start)
    holder = np.repeat(np.arange(people), generator(config.seed, Stream.CARDS).choice([1, 2, 3], people, p=CARDS_PER_CUSTOMER))
    share = generator(config.seed, Stream.CARDS, 1).beta(2, 2, len(holder)).astype(np.float32) + 0.1  # one card is used more than the other
    by_card = rate[holder] * share
    subscriptions = generator(config.seed, Stream.CARDS, 2).choice(np.array([0, 1, 2], np.int8), len(holder), p=[0.5, 0.35, 0.15])
    by_card *= (config.transactions_per_day - float(subscriptions.sum()) / SUBSCRIPTION_DAYS) / by_card.sum()
    columns = {
        "customer": np.arange(people, dtype=np.int32),
        "household": np.maximum(household, 0).astype(np.int32),
        "segment": segment.astype(np.int8),
        "log_spend": (np.log(traits["spend"]) + random.normal(0, 0.35, people)).astype(np.float32),
        "online": online.astype(np.float32),
        "wallet": random.random(people) < 0.45,
        "town": town.astype(np.int16),
        "next_town": random.choice(towns, people, p=weight).astype(np.int16),
        "work_town": np.where(random.random(people) < 0.25, neighbour[town], town).astype(np.int16),
        "move_day": (day + random.integers(-MOVES_WITHIN_DAYS, MOVES_WITHIN_DAYS, people)).astype(np.int32),
        "shift_s": random.normal(0, 3_000, people).astype(np.int32),
        "salary_day": random.choice(np.array([1, 15, 25, 28], np.int8), people, p=[0.3, 0.2, 0.25, 0.25]),
    }
    return Cards(
        rate=by_card.astype(np.float32),
        phase=(hashed(config.seed, Stream.CARDS, np.arange(len(holder))) >> np.uint64(40)).astype(np.int32),
        subscriptions=subscriptions,
        **{name: column[holder] for name, column in columns.items()},
    )
