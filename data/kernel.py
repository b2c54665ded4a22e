"""The one definition of the features: compiled code that shows a payment its history and then remembers the payment.

Only `data/history.py` calls it, for a million rows and for one; there is no second implementation. The state is a
handful of plain arrays (`data/history_layout.py`). A payment may arrive late: it is put in its sorted place and sees
only what is not after it.

What a card remembers are its last CARD_MEMORY payments of the CARD_RETENTION_S before its latest one; beside them it
keeps totals over its whole life, for "the card's mean". Amounts are summed as integers (minor units), so sums do not
depend on the order of arrival. Variance uses data shifted by the card's first amount, which keeps equal amounts exactly
at zero (Chan, Golub and LeVeque, The American Statistician 37(3), 1983).
"""

from collections.abc import Callable
from math import asin, cos, nan, radians, sin, sqrt
from typing import Any, cast

import numpy as np
from numba import njit

from data.features import CARD_MEMORY, DAY_S, FEATURE_INDEX, HOUR_S, RISK_PRIOR_COUNT
from data.history_layout import (
    BORDERS_S,
    CARD_RETENTION_S,
    FIRST_RUN,
    NEVER,
    NO_DEVICE,
    REPORT_RETENTION_S,
    REPORT_ROW,
    TERMINAL_RETENTION_S,
)

EARTH_RADIUS_KM = 6371.0088  # mean radius, IUGG

# Where the scan of a card pauses to write its windows down; -1: no such feature at this pause.
PAUSES_S = (HOUR_S, DAY_S, 7 * DAY_S, 14 * DAY_S, 28 * DAY_S, 30 * DAY_S)
PAUSE_WINDOW = (0, 1, 2, -1, -1, 3)
PAUSE_RATIO = (-1, -1, 0, 1, 2, -1)
PAUSE_MAX = (-1, -1, 0, -1, -1, 1)
_AMOUNT, _HOUR, _WEEKDAY = FEATURE_INDEX["amount"], FEATURE_INDEX["hour"], FEATURE_INDEX["weekday"]
_CHANNEL, _CATEGORY = FEATURE_INDEX["channel"], FEATURE_INDEX["category"]
_CARD_COUNT, _CARD_SUM, _CARD_MEAN = FEATURE_INDEX["card_count_1h"], FEATURE_INDEX["card_sum_1h"], FEATURE_INDEX["card_mean_1h"]
_CARD_TERMINALS, _CARD_DISTANCE = FEATURE_INDEX["card_terminals_1h"], FEATURE_INDEX["card_distance_km_1h"]
_CARD_MAX, _CARD_MAX_RATIO = FEATURE_INDEX["card_max_7d"], FEATURE_INDEX["card_max_ratio_7d"]
_TO_MEAN, _TO_MAX, _DEVIATION = (FEATURE_INDEX[f"amount_to_card_{kind}"] for kind in ("mean", "max", "deviation"))
_SINCE_CARD, _SINCE_TERMINAL = FEATURE_INDEX["seconds_since_card"], FEATURE_INDEX["seconds_since_card_terminal"]
_SINCE_DEVICE, _AGE, _SPEED = FEATURE_INDEX["seconds_since_card_device"], FEATURE_INDEX["card_age_days"], FEATURE_INDEX["speed_kmh"]
_TERMINAL_COUNT, _TO_TERMINAL_MEAN = FEATURE_INDEX["terminal_count_1h"], FEATURE_INDEX["amount_to_terminal_mean"]
_TERMINAL_REPORTS, _RISK = FEATURE_INDEX["terminal_reports_1d"], FEATURE_INDEX["terminal_risk_1d"]
_SINCE_TERMINAL_REPORT, _SINCE_CARD_REPORT = FEATURE_INDEX["days_since_terminal_report"], FEATURE_INDEX["days_since_card_report"]
_CARD_REPORTS = FEATURE_INDEX["card_reports_30d"]


# The state belongs to the caller and nothing is allocated here, so arrays are not reference-counted (a quarter of the
# time otherwise), and helpers become part of the one function that is called (a fifth).
_OPTIONS: dict[str, Any] = {"error_model": "numpy", "_nrt": False}
_inner = njit(forceinline=True, **_OPTIONS)


def _entry_point(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile at the first call; keep the result beside the source, in NUMBA_CACHE_DIR or in the user's cache, else only in memory."""
    try:
        return cast(Callable[..., Any], njit(cache=True, **_OPTIONS)(function))
    except RuntimeError:  # numba found no writable folder
        return cast(Callable[..., Any], njit(**_OPTIONS)(function))


@_inner
def _room(run, pool, used):  # type: ignore[no-untyped-def]
    """Make sure one more entry fits behind the run. Returns how much of the pool is then taken, or -1 when the pool is full."""
    if run.head + run.size < run.capacity:
        return used
    begin = run.start + run.head
    if run.head > 0 and run.head * 4 >= run.capacity:  # a quarter is free in front: moving down costs 4 copies an entry at most
        for i in range(run.size):
            pool[run.start + i] = pool[begin + i]
        run.head = 0
        return used
    capacity = max(FIRST_RUN, 2 * run.capacity)
    if run.capacity > 0 and run.start + run.capacity == used:  # the last run of the pool grows where it stands
        if run.start + capacity > len(pool):
            return -1
        run.capacity = capacity
        return run.start + capacity
    if used + capacity > len(pool):
        return -1
    for i in range(run.size):
        pool[used + i] = pool[begin + i]
    run.start, run.capacity, run.head = used, capacity, 0
    return used + capacity


@_inner
def _after(pool, begin, end, hint, moment):  # type: ignore[no-untyped-def]
    """The first index of [begin, end) whose time is after `moment`; walks from `hint`, which is usually next to it."""
    i = min(max(hint, begin), end)
    while i > begin and pool[i - 1].time > moment:
        i -= 1
    while i < end and pool[i].time <= moment:
        i += 1
    return i


@_inner
def _open(run, pool, at):  # type: ignore[no-untyped-def]
    """Open a gap at index `at`; there must be room."""
    i = run.start + run.head + run.size
    while i > at:
        pool[i] = pool[i - 1]
        i -= 1
    run.size += 1


@_inner
def _kilometres(chord_squared):  # type: ignore[no-untyped-def]
    """Great-circle distance from the squared chord between two points of the unit sphere."""
    return 2.0 * EARTH_RADIUS_KM * asin(min(1.0, 0.5 * sqrt(chord_squared)))


@_inner
def _place(event):  # type: ignore[no-untyped-def]
    """The event's point on the unit sphere, as remembered: float32, good to a metre. NaN when it has no place."""
    latitude, longitude = radians(event.latitude), radians(event.longitude)
    return np.float32(cos(latitude) * cos(longitude)), np.float32(cos(latitude) * sin(longitude)), np.float32(sin(latitude))


@_inner
def _see_card(card, pool, event, place, rows):  # type: ignore[no-untyped-def]
    """Write the card's features. Returns the index of its last payment at this terminal (or -1) and that behind its last payment by now."""
    t, x, y, z = event.time, place[0], place[1], place[2]
    located = x == x and y == y
    begin = card.start + card.head
    behind = _after(pool, begin, begin + card.size, begin + card.size, t)
    count, total, distinct, largest, same_terminal = 0, 0, 0, -1, -1
    same_device = -1 if event.device != NO_DEVICE else -2  # -1: still sought
    speed, highest, farthest, distance = nan, np.float32(-1.0), np.float32(-1.0), nan
    terminal, device = event.terminal, event.device
    i = behind - 1
    for pause in range(len(PAUSES_S) + 1):
        oldest = t - PAUSES_S[pause] if pause < len(PAUSES_S) else -1
        reach = farthest
        while i >= begin and pool[np.uintp(i)].time > oldest:
            entry = pool[np.uintp(i)]  # unsigned: no Python-like negative indices to provide for
            count += 1
            total += entry.amount
            largest = max(largest, entry.amount)
            distinct += entry.next_visit > t  # count each terminal at its last visit
            if entry.ratio > highest:
                highest = entry.ratio
            if located:
                chord = (entry.x - x) ** 2 + (entry.y - y) ** 2 + (entry.z - z) ** 2
                if chord > farthest:
                    farthest = chord
                if speed != speed and chord == chord:
                    speed = _kilometres(chord) / (max(t - entry.time, 1) / HOUR_S)
            if same_terminal == -1 and entry.terminal == terminal:
                same_terminal = i
            if same_device == -1 and entry.device == device:
                same_device = i
            i -= 1
        if pause == len(PAUSES_S):
            break
        if farthest > reach:
            distance = _kilometres(farthest)
        window = PAUSE_WINDOW[pause]
        if window >= 0:
            rows[event.row, _CARD_COUNT + window] = count
            rows[event.row, _CARD_SUM + window] = total / 100.0
            rows[event.row, _CARD_MEAN + window] = total / 100.0 / count if count > 0 else nan
            rows[event.row, _CARD_TERMINALS + window] = distinct
            rows[event.row, _CARD_DISTANCE + window] = distance
        if PAUSE_MAX[pause] >= 0:
            rows[event.row, _CARD_MAX + PAUSE_MAX[pause]] = largest / 100.0 if count > 0 else nan
        if PAUSE_RATIO[pause] >= 0:
            rows[event.row, _CARD_MAX_RATIO + PAUSE_RATIO[pause]] = highest if highest >= 0.0 else nan
    rows[event.row, _SINCE_CARD] = t - pool[behind - 1].time if behind > begin else nan
    rows[event.row, _SINCE_TERMINAL] = t - pool[same_terminal].time if same_terminal >= 0 else nan
    rows[event.row, _SINCE_DEVICE] = t - pool[same_device].time if same_device >= 0 else nan
    rows[event.row, _SPEED] = speed
    _see_habit(card, pool, event, behind, largest, rows)
    return same_terminal, behind


@_inner
def _squared_excess(card, amount):  # type: ignore[no-untyped-def]
    excess = float(amount - card.first_amount)
    return excess * excess


@_inner
def _see_habit(card, pool, event, behind, largest, rows):  # type: ignore[no-untyped-def]
    """Write what compares this payment with the card's whole life, less what a late payment has to leave out."""
    begin = card.start + card.head
    count, total, squares = card.life_count, card.life_sum, card.life_squares
    if behind < begin + card.size:
        squares = card.gone_squares  # added up anew: taking large squares away again would leave their rounding errors
        for earlier in range(begin, behind):
            squares += _squared_excess(card, pool[earlier].amount)
        for later in range(behind, begin + card.size):
            count -= 1
            total -= pool[later].amount
    largest = max(largest, card.gone_max)
    rows[event.row, _TO_MEAN] = event.amount * count / total if total > 0 else nan
    rows[event.row, _TO_MAX] = event.amount / largest if largest > 0 else nan
    rows[event.row, _DEVIATION] = nan
    if count > 1:
        excess = float(total - count * card.first_amount)
        variance = (squares - excess * excess / count) / (count - 1)
        if variance > 0.0:
            rows[event.row, _DEVIATION] = (event.amount - total / count) / sqrt(variance)
    rows[event.row, _AGE] = (event.time - card.first_time) / DAY_S if count > 0 and card.first_time <= event.time else nan


@_inner
def _remember_on_card(card, pool, event, place, ratio, same_terminal, at):  # type: ignore[no-untyped-def]
    """Put the payment in its place and into the card's totals, then drop what no window can reach any more."""
    if card.life_count == 0:
        card.first_amount, card.first_time, card.gone_max = event.amount, event.time, -1
    card.first_time = min(card.first_time, event.time)
    card.life_count += 1
    card.life_sum += event.amount
    card.life_squares += _squared_excess(card, event.amount)
    _open(card, pool, at)
    end = card.start + card.head + card.size
    entry = pool[at]
    entry.time, entry.amount, entry.terminal, entry.device = event.time, event.amount, event.terminal, event.device
    entry.ratio, entry.x, entry.y, entry.z = ratio, place[0], place[1], place[2]
    entry.next_visit = NEVER
    for later in range(at + 1, end):
        if pool[later].terminal == event.terminal:
            entry.next_visit = pool[later].time
            break
    if same_terminal >= 0:
        pool[same_terminal].next_visit = event.time
    horizon = np.int64(pool[end - 1].time) - CARD_RETENTION_S
    while card.size > CARD_MEMORY or pool[card.start + card.head].time <= horizon:
        amount = pool[card.start + card.head].amount
        card.gone_max = max(card.gone_max, amount)
        card.gone_squares += _squared_excess(card, amount)
        card.head += 1
        card.size -= 1


@_inner
def _see_terminal(terminal, pool, marks, event, rows):  # type: ignore[no-untyped-def]
    """Write the terminal's counts. Returns (index behind the last payment not after this, payments one label delay earlier by window)."""
    slot = event.terminal
    begin = terminal.start + terminal.head
    end = begin + terminal.size
    shift = begin - terminal.dropped  # a mark is the number of payments before a border since the terminal's first
    behind = _after(pool, begin, end, end, event.time)
    for border in range(len(BORDERS_S)):
        marks[slot, border] = _after(pool, begin, end, marks[slot, border] + shift, event.time - BORDERS_S[border]) - shift
    for window in range(4):
        rows[event.row, _TERMINAL_COUNT + window] = behind - shift - marks[slot, window]
    month = behind - shift - marks[slot, 3]
    rows[event.row, _TO_TERMINAL_MEAN] = nan
    if month > 0:
        total = pool[behind].sum_before if behind < end else terminal.total
        total -= pool[marks[slot, 3] + shift].sum_before
        if total > 0:
            rows[event.row, _TO_TERMINAL_MEAN] = event.amount * month / total
    return behind, (marks[slot, 4] - marks[slot, 5], marks[slot, 4] - marks[slot, 6], marks[slot, 4] - marks[slot, 7])


@_inner
def _remember_at_terminal(terminal, pool, event, at):  # type: ignore[no-untyped-def]
    """Put the payment in its place and drop what no window can reach any more."""
    end = terminal.start + terminal.head + terminal.size
    sum_before = pool[at].sum_before if at < end else terminal.total
    _open(terminal, pool, at)
    pool[at].time, pool[at].sum_before = event.time, sum_before
    for later in range(at + 1, end + 1):
        pool[later].sum_before += event.amount
    terminal.total += event.amount
    horizon = pool[end].time - TERMINAL_RETENTION_S
    while pool[terminal.start + terminal.head].time <= horizon:
        terminal.head += 1
        terminal.size -= 1
        terminal.dropped += 1


@_inner
def _see_reports(run, pool, moment):  # type: ignore[no-untyped-def]
    """How many reports not after `moment` are younger than 1, 7 and 30 days, and the days since the last (NaN: none)."""
    begin = run.start + run.head
    i = _after(pool, begin, begin + run.size, begin + run.size, moment) - 1
    since = (moment - pool[i].time) / DAY_S if i >= begin else nan
    day, week, month = 0, 0, 0
    while i >= begin and pool[i].time > moment - 30 * DAY_S:
        age = moment - pool[i].time
        day += age < DAY_S
        week += age < 7 * DAY_S
        month += 1
        i -= 1
    return (day, week, month), since


@_inner
def _forget_reports(run, pool, latest):  # type: ignore[no-untyped-def]
    """Drop old reports, but keep the youngest of the old: "days since" has no limit."""
    horizon = latest - REPORT_RETENTION_S
    while run.size > 1 and pool[run.start + run.head + 1].time <= horizon:
        run.head += 1
        run.size -= 1


@_inner
def _note_report(run, pool, moment):  # type: ignore[no-untyped-def]
    """Put a report in its place; there must be room."""
    end = run.start + run.head + run.size
    at = _after(pool, run.start + run.head, end, end, moment)
    _open(run, pool, at)
    pool[at].time = moment


@_inner
def _advance_card(control, cards, pool, reports_of, report_pool, event, rows):  # type: ignore[no-untyped-def]
    """One event of a card: write the card's part of the row and remember. Returns False, with nothing remembered, when a pool is full."""
    card, reports = cards[event.card], reports_of[event.card]
    t, row = event.time, event.row
    if row == REPORT_ROW:
        used = _room(reports, report_pool, control.report_used)
        if used >= 0:
            control.report_used = used
            _note_report(reports, report_pool, t)
        return used >= 0
    used = _room(card, pool, control.card_used)
    if used < 0:
        return False
    control.card_used = used
    rows[row, _AMOUNT] = event.amount / 100.0
    rows[row, _HOUR] = (t % DAY_S) / HOUR_S
    rows[row, _WEEKDAY] = (t // DAY_S + 3) % 7  # 1970 began on a Thursday
    rows[row, _CHANNEL] = event.channel
    rows[row, _CATEGORY] = event.category
    counts, since = _see_reports(reports, report_pool, t)
    rows[row, _CARD_REPORTS] = counts[2]
    rows[row, _SINCE_CARD_REPORT] = since
    place = _place(event)
    same_terminal, at = _see_card(card, pool, event, place, rows)
    _remember_on_card(card, pool, event, place, rows[row, _TO_MEAN], same_terminal, at)
    _forget_reports(reports, report_pool, np.int64(pool[card.start + card.head + card.size - 1].time))
    return True


@_inner
def _advance_terminal(control, terminals, pool, marks, reports_of, report_pool, event, rows):  # type: ignore[no-untyped-def]
    """One event of a terminal: as `_advance_card`, for the terminal's part of the row."""
    terminal, reports = terminals[event.terminal], reports_of[event.terminal]
    row = event.row
    if row == REPORT_ROW:
        used = _room(reports, report_pool, control.report_used)
        if used >= 0:
            control.report_used = used
            _note_report(reports, report_pool, event.time)
        return used >= 0
    used = _room(terminal, pool, control.terminal_used)
    if used < 0:
        return False
    control.terminal_used = used
    at, delayed = _see_terminal(terminal, pool, marks, event, rows)
    counts, since = _see_reports(reports, report_pool, event.time)
    for window in range(3):
        rows[row, _TERMINAL_REPORTS + window] = counts[window]
        rows[row, _RISK + window] = counts[window] / (delayed[window] + RISK_PRIOR_COUNT)
    rows[row, _SINCE_TERMINAL_REPORT] = since
    _remember_at_terminal(terminal, pool, event, at)
    _forget_reports(reports, report_pool, pool[terminal.start + terminal.head + terminal.size - 1].time)
    return True


@_entry_point
def advance(state, by_card, by_terminal, rows, cards_done, terminals_done):  # type: ignore[no-untyped-def]
    """Advance the state by events (EVENT) and write each payment's features into rows[event.row].

    Cards and terminals know nothing of each other, so all events of one card are done together while its run is in
    the processor's cache, then all of the next: `by_card` and `by_terminal` hold the same events, grouped, and in order
    of arrival within a group. Returns how many of each are done: all, or a pool must grow before the rest.
    """
    control = state.control[0]
    cards, card_pool, card_reports = state.cards, state.card_pool, state.card_reports
    terminals, terminal_pool, terminal_reports = state.terminals, state.terminal_pool, state.terminal_reports
    marks, report_pool = state.marks, state.report_pool
    while cards_done < len(by_card):
        event = by_card[cards_done]
        if not _advance_card(control, cards, card_pool, card_reports, report_pool, event, rows):
            return cards_done, terminals_done
        cards_done += 1
    while terminals_done < len(by_terminal):
        event = by_terminal[terminals_done]
        if not _advance_terminal(control, terminals, terminal_pool, marks, terminal_reports, report_pool, event, rows):
            return cards_done, terminals_done
        terminals_done += 1
    return cards_done, terminals_done


@_entry_point
def hash_names(offsets, letters, keys):  # type: ignore[no-untyped-def]
    """Write the FNV-1a hash (Fowler, Noll and Vo) of each name; name i is letters[offsets[i] : offsets[i + 1]]."""
    for i in range(len(keys)):
        key = np.uint64(0xCBF29CE484222325)
        for j in range(offsets[i], offsets[i + 1]):
            key = (key ^ np.uint64(letters[j])) * np.uint64(0x100000001B3)
        keys[i] = key
