"""The one definition of the features: compiled code that shows a payment its history and then remembers the payment.

Only `data/history.py` calls it, by way of `data/compiled.py`, for a million rows and for one; there is no second
implementation. The state is a handful of plain arrays (`data/history_layout.py`). A payment may arrive late: it is put in
its sorted place and sees only what is not after it.

What a card remembers are its last CARD_MEMORY payments of the CARD_RETENTION_S before its latest one; beside them it
keeps totals over its whole life, for "the card's mean". Amounts are summed as integers (minor units), so sums do not
depend on the order of arrival. Variance uses data shifted by the card's first amount, which keeps equal amounts exactly
at zero (Chan, Golub and LeVeque, The American Statistician 37(3), 1983).
"""

from math import asin, cos, nan, radians, sin, sqrt
from typing import Any

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
# time otherwise), and helpers become part of the function that calls them (a fifth).
_OPTIONS: dict[str, Any] = {"error_model": "numpy", "_nrt": False}
_inner = njit(forceinline=True, **_OPTIONS)
_function = njit(**_OPTIONS)


@_inner
def _size(capacity):  # type: ignore[no-untyped-def]
    """The largest i for which FIRST_RUN << i is at most this capacity."""
    i = 0
    while FIRST_RUN << (i + 1) <= capacity:
        i += 1
    return i


@_inner
def _room(run, pool, free, used):  # type: ignore[no-untyped-def]
    """Make sure one more entry fits behind the run. Returns how much of the pool is then taken, or -1 when the pool is full.

    A run that outgrows its place moves to one of at least twice the size, and its old place waits in `free` (by size; the
    time of its first entry says where the next one is, plus one) for the next run that needs one of that size.
    """
    if run.head + run.size < run.capacity:
        return used
    begin = run.start + run.head
    if run.head > 0 and run.head * 4 >= run.capacity:  # a quarter is free in front: moving down costs 4 copies an entry at most
        for i in range(run.size):
            pool[run.start + i] = pool[begin + i]
        run.head = 0
        return used
    new, capacity = 0, FIRST_RUN
    while capacity < 2 * run.capacity:
        new, capacity = new + 1, 2 * capacity
    start = free[new] - 1
    if start >= 0:
        free[new] = pool[start].time
    else:
        if used + capacity > len(pool):
            return -1
        start = used
        used += capacity
    for i in range(run.size):
        pool[start + i] = pool[begin + i]
    if run.capacity >= FIRST_RUN:
        old = _size(run.capacity)
        pool[run.start].time = free[old]
        free[old] = run.start + 1
    run.start, run.capacity, run.head = start, capacity, 0
    return used


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
def _advance_card(control, free, cards, pool, reports_of, report_pool, event, rows):  # type: ignore[no-untyped-def]
    """One event of a card: write the card's part of the row and remember. Returns False, with nothing remembered, when a pool is full."""
    card, reports = cards[event.card], reports_of[event.card]
    t, row = event.time, event.row
    if row == REPORT_ROW:
        used = _room(reports, report_pool, free[2], control.report_used)
        if used >= 0:
            control.report_used = used
            _note_report(reports, report_pool, t)
        return used >= 0
    used = _room(card, pool, free[0], control.card_used)
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
def _advance_terminal(control, free, terminals, pool, marks, reports_of, report_pool, event, rows):  # type: ignore[no-untyped-def]
    """One event of a terminal: as `_advance_card`, for the terminal's part of the row."""
    terminal, reports = terminals[event.terminal], reports_of[event.terminal]
    row = event.row
    if row == REPORT_ROW:
        used = _room(reports, report_pool, free[2], control.report_used)
        if used >= 0:
            control.report_used = used
            _note_report(reports, report_pool, event.time)
        return used >= 0
    used = _room(terminal, pool, free[1], control.terminal_used)
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


@_function
def advance(state, by_card, by_terminal, rows, done):  # type: ignore[no-untyped-def]
    """Advance the state by events (EVENT) and write each payment's features into rows[event.row].

    Cards and terminals know nothing of each other, so all events of one card are done together while its run is in
    the processor's cache, then all of the next: `by_card` and `by_terminal` hold the same events, grouped, and in order
    of arrival within a group. `done` says how many of each are done, before and after: all, or a pool must grow first.
    """
    control, free = state.control[0], state.free
    cards, card_pool, card_reports = state.cards, state.card_pool, state.card_reports
    terminals, terminal_pool, terminal_reports = state.terminals, state.terminal_pool, state.terminal_reports
    marks, report_pool = state.marks, state.report_pool
    while done[0] < len(by_card):
        event = by_card[done[0]]
        if not _advance_card(control, free, cards, card_pool, card_reports, report_pool, event, rows):
            return
        done[0] += 1
    while done[1] < len(by_terminal):
        event = by_terminal[done[1]]
        if not _advance_terminal(control, free, terminals, terminal_pool, marks, terminal_reports, report_pool, event, rows):
            return
        done[1] += 1


@_inner
def name_hash(letters, begin, end):  # type: ignore[no-untyped-def]
    """The FNV-1a hash (Fowler, Noll and Vo) of letters[begin:end]."""
    key = np.uint64(0xCBF29CE484222325)
    for i in range(begin, end):
        key = (key ^ np.uint64(letters[i])) * np.uint64(0x100000001B3)
    return key


@_inner
def _seat(index, key):  # type: ignore[no-untyped-def]
    """Where in an index a hash belongs first; FNV's high bits are its best."""
    return (key ^ (key >> np.uint64(32))) & np.uint64(len(index) - 1)


@_inner
def _slot_of(index, known, ends, count, slots, letters, begin, end):  # type: ignore[no-untyped-def]
    """The slot of the id letters[begin:end]; a new id gets the next one, `count`. -1: there is no room for a new one.

    `index`, `known` (the ids' letters), `ends` and `count` belong to one owner, which has arrays of length `slots`.
    """
    seat = _seat(index, name_hash(letters, begin, end))
    while index[seat] != 0:
        slot = np.int64(index[seat] - 1)
        if _is_name(known, ends, slot, letters, begin, end):
            return slot
        seat = (seat + np.uint64(1)) & np.uint64(len(index) - 1)
    first = name_begin(ends, count)
    if count >= slots or first + end - begin > len(known) or 3 * (count + 1) > 2 * len(index):
        return np.int64(-1)
    for i in range(end - begin):
        known[first + i] = letters[begin + i]
    ends[count] = first + end - begin
    index[seat] = count + 1
    return count


@_inner
def name_begin(ends, slot):  # type: ignore[no-untyped-def]
    """Where the letters of a slot's id begin: behind those of the one before."""
    return ends[slot - 1] if slot > 0 else np.int64(0)


@_inner
def _is_name(known, ends, slot, letters, begin, end):  # type: ignore[no-untyped-def]
    first = name_begin(ends, slot)
    i = begin if ends[slot] - first == end - begin else end + 1
    while i < end and known[first + i - begin] == letters[i]:
        i += 1
    return i == end


@_function
def card_slot(state, letters, begin, end):  # type: ignore[no-untyped-def]
    """The slot of a card, known or new; -1 when there is no room for a new one."""
    control = state.control[0]
    slot = _slot_of(state.card_index, state.card_letters, state.card_ends, control.cards, len(state.cards), letters, begin, end)
    control.cards += slot == control.cards
    return slot


@_function
def terminal_slot(state, letters, begin, end):  # type: ignore[no-untyped-def]
    """The slot of a terminal, as `card_slot`."""
    control = state.control[0]
    slot = _slot_of(
        state.terminal_index, state.terminal_letters, state.terminal_ends, control.terminals, len(state.terminals), letters, begin, end
    )
    control.terminals += slot == control.terminals
    return slot


@_function
def index_names(index, letters, ends, count):  # type: ignore[no-untyped-def]
    """Fill an empty index with the first `count` ids."""
    for slot in range(count):
        seat = _seat(index, name_hash(letters, name_begin(ends, slot), ends[slot]))
        while index[seat] != 0:
            seat = (seat + np.uint64(1)) & np.uint64(len(index) - 1)
        index[seat] = slot + 1


@_function
def probe_filter(bits, key, adds):  # type: ignore[no-untyped-def]
    """Whether the four bits of a key are set in a Bloom filter of a power of two of bytes; sets them when `adds` is not 0."""
    key ^= key >> np.uint64(32)  # FNV alone tells similar names apart in its high bits
    key *= np.uint64(0x9E3779B97F4A7C15)
    step = (key >> np.uint64(32)) | np.uint64(1)  # two hashes make all others (Kirsch and Mitzenmacher, ESA 2006)
    mask = np.uint64(8 * len(bits) - 1)
    known = np.uint8(1)
    for _ in range(4):
        place = key & mask
        bit = np.uint8(1) << np.uint8(place & np.uint64(7))
        if bits[place >> np.uint64(3)] & bit == 0:
            known = np.uint8(0)
            if adds != 0:
                bits[place >> np.uint64(3)] |= bit
        key += step
    return known
