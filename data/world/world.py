"""The world itself: any day of card payments, with labels and truth, from a configuration alone."""

from datetime import date
from typing import Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from data.dataset import Kind, arrow_schema
from data.schema import CHANNELS, CURRENCY, LABEL_SOURCES
from data.world.campaigns import LASTS_DAYS, Campaigns, Outbreak
from data.world.config import WorldConfig
from data.world.habits import SOLD
from data.world.population import CARD_LIFE_DAYS, SHOP_LIFE_DAYS, settle
from data.world.reports import DISPUTE, honest_reports
from data.world.rows import NEVER, NO_DEVICE, Rows, concatenate
from data.world.spending import DAY_MS, ONLINE, Spending
from data.world.streams import Stream, Words, day_number, generator, hashed
from data.world.tactics import FRIENDLY_FRAUD, KINDS
from data.world.tokens import shuffled, tokens

BLOCK_DAYS: Final = 16
FIELD_LOST: Final = 0.004  # share of messages that lose their channel, category or place on the way
_CHANNEL_NAMES = pa.array(CHANNELS)
_CATEGORY_NAMES = pa.array((*SOLD, "unknown"))
_SOURCE_NAMES = pa.array(LABEL_SOURCES)
_KIND_NAMES = pa.array(KINDS)


class World:
    """A synthetic card world. Building one draws its population (well under a second); days are then independent.

    The campaigns of earlier days are kept once drawn, because they decide which cards have been replaced by today;
    this is a cache and nothing else: any order of days gives the same bytes.
    """

    def __init__(self, config: WorldConfig) -> None:
        self.config = config
        self.population = settle(config)
        self._spending = Spending(config, self.population)
        self._campaigns = Campaigns(config, self.population, self._spending)
        self._first = (day_number(config.start) - LASTS_DAYS) // BLOCK_DAYS  # campaigns are under way when the world opens
        self._outbreaks: dict[int, Outbreak] = {}
        self._replaced: dict[int, tuple[NDArray[np.int32], NDArray[np.int64]]] = {}

    def day(self, day: date) -> dict[Kind, pa.Table]:
        """Transactions (in order of arrival), labels and truth of one day.

        The labels are what would be reported if every payment were approved; whoever replays them against decisions
        drops those of declined payments. Truth: `is_fraud` is what happened; friendly fraud is genuine there, under
        `campaign_kind` "friendly_fraud"; the honest payment at which a card was copied carries its campaign too.
        """
        number = day_number(day)
        rows = concatenate([self._spending.day(number), self._fraud(number)])
        rows = self._dispute(number, rows)
        ties = generator(self.config.seed, Stream.LOSSES, number + 1_000_000).integers(0, 1024, len(rows))
        rows = rows.take(np.argsort((rows.time_ms - number * DAY_MS) * 1024 + ties))
        ids = tokens(f"tx_{day:%Y%m%d}_", shuffled(len(rows)), 8)
        return {
            "transactions": self._transactions(number, rows, ids),
            "labels": _labels(rows, ids),
            "truth": _truth(rows, ids),
        }

    def _outbreak(self, block: int) -> Outbreak:
        """The campaigns that begin within one block of days, drawn together because small draws cost most of their time in calls."""
        if block not in self._outbreaks:
            self._outbreaks[block] = outbreak = self._campaigns.beginning(range(block * BLOCK_DAYS, (block + 1) * BLOCK_DAYS))
            self._replaced[block] = (outbreak.replaced_card, outbreak.replaced_day)
        return self._outbreaks[block]

    def _fraud(self, day: int) -> Rows:
        earliest, today = (day - LASTS_DAYS) // BLOCK_DAYS, day // BLOCK_DAYS
        parts = [self._outbreak(block).rows for block in range(earliest, today + 1)]
        for old in [block for block in self._outbreaks if block < earliest]:
            del self._outbreaks[old]
        return concatenate([part.take(part.time_ms // DAY_MS == day) for part in parts])

    def _replacements(self, day: int) -> NDArray[np.int64]:
        """How often each card has been replaced by this day, over all campaigns since shortly before the world began."""
        blocks = range(self._first, day // BLOCK_DAYS + 1)
        for block in blocks:
            if block not in self._replaced:
                self._outbreak(block)
        cards = np.concatenate([self._replaced[block][0] for block in blocks])
        days = np.concatenate([self._replaced[block][1] for block in blocks])
        return np.bincount(cards[days <= day], minlength=len(self.population.cards))

    def _dispute(self, day: int, rows: Rows) -> Rows:
        """Friendly fraud and cleared investigations, among the honest rows."""
        honest = np.flatnonzero(rows.kind < 0)
        random = generator(self.config.seed, Stream.DISPUTES, day)
        which, report, source = honest_reports(
            self.config, rows.time_ms[honest], rows.amount[honest], rows.channel[honest] == ONLINE, random
        )
        rows.report_ms[honest[which]], rows.source[honest[which]] = report, source
        rows.kind[honest[which[source == DISPUTE]]] = FRIENDLY_FRAUD
        return rows

    def _card_tokens(self, day: int, card: NDArray[np.int32]) -> pa.StringArray:
        """A card's token changes when it expires and when it is replaced after a report."""
        replaced = self._replacements(day).astype(np.int32)
        issued = (day + self.population.cards.phase[card]) // CARD_LIFE_DAYS
        return tokens("card_", hashed(self.config.seed, Stream.TOKENS, card, issued * np.int32(512) + replaced[card]), 12)

    def _terminal_tokens(self, day: int, terminal: NDArray[np.int32]) -> pa.StringArray:
        occupant = (day + self.population.terminals.phase[terminal]) // SHOP_LIFE_DAYS
        return tokens("term_", hashed(self.config.seed + 1, Stream.TOKENS, terminal, occupant), 10)

    def _transactions(self, day: int, rows: Rows, ids: pa.StringArray) -> pa.Table:
        terminals, lost = self.population.terminals, generator(self.config.seed, Stream.LOSSES, day)
        channel = np.where(lost.random(len(rows), np.float32) < FIELD_LOST, CHANNELS.index("unknown"), rows.channel)
        category = np.where(lost.random(len(rows), np.float32) < FIELD_LOST, len(SOLD), terminals.category[rows.terminal])
        no_place = (lost.random(len(rows), np.float32) < FIELD_LOST) | np.isnan(terminals.latitude[rows.terminal])
        columns = [
            ids,
            pa.array(rows.time_ms).cast(pa.timestamp("ms", tz="UTC")),
            self._card_tokens(day, rows.card),
            self._terminal_tokens(day, rows.terminal),
            pa.array(price_minor(rows.amount, terminals.pricing[rows.terminal])),
            pa.repeat(pa.scalar(CURRENCY), len(rows)),
            _CHANNEL_NAMES.take(pa.array(channel)),
            _CATEGORY_NAMES.take(pa.array(category)),
            pa.array(terminals.latitude[rows.terminal], mask=no_place),
            pa.array(terminals.longitude[rows.terminal], mask=no_place),
            _devices(rows.device),
        ]
        return pa.Table.from_arrays(columns, schema=arrow_schema("transactions"))


def price_minor(amount: NDArray[np.float32], pricing: NDArray[np.int8]) -> NDArray[np.int64]:
    """What the shop charges, in minor units: free cents, prices ending in 99, whole EUR, or tens; at least one cent.

    Honest and fraudulent payments go through the same prices, so the cents of an amount tell nothing.
    """
    cents = np.maximum(np.rint(amount * np.float32(100)).astype(np.int64), 1)
    ending = cents // 100 * 100 + 99
    whole = np.maximum((cents + 50) // 100 * 100, 100)
    tens = np.maximum((cents + 500) // 1000 * 1000, 1000)
    return np.choose(pricing, [cents, ending, whole, tens])


def _devices(device: Words) -> pa.StringArray:
    """Device tokens, null where no device is involved."""
    involved = device != NO_DEVICE
    position = np.cumsum(involved) - 1
    return tokens("dev_", device[involved], 12).take(pa.array(position, mask=~involved))


def _labels(rows: Rows, ids: pa.StringArray) -> pa.Table:
    at = np.flatnonzero(rows.report_ms != NEVER)
    known = rows.take(at)
    fraud = known.fraud | (known.source == DISPUTE)
    moments = [pa.array(column).cast(pa.timestamp("ms", tz="UTC")) for column in (known.time_ms, known.report_ms)]
    columns = [ids.take(pa.array(at)), *moments, pa.array(fraud), _SOURCE_NAMES.take(pa.array(known.source))]
    return pa.Table.from_arrays(columns, schema=arrow_schema("labels"))


def _truth(rows: Rows, ids: pa.StringArray) -> pa.Table:
    campaign = tokens("camp_", rows.campaign, 10)
    has_campaign = pa.array(np.arange(len(rows)), mask=rows.campaign == 0)
    kind = pa.array(rows.kind.astype(np.int32), mask=rows.kind < 0)
    columns = [ids, pa.array(rows.fraud), campaign.take(has_campaign), _KIND_NAMES.take(kind)]
    return pa.Table.from_arrays(columns, schema=arrow_schema("truth"))
