-- wrk's requests and its report for tests/chaos/storm.py: wrk -t1 ... -s storm.lua URL -- RATE SECONDS FIRST CARDS
--
-- An open loop: there is one timetable, with RATE places a second, and a connection that was answered takes the next free
-- place on it. Nobody's place depends on how long anybody waits, as long as a connection is free when a place comes; one
-- that had none is counted as missed. wrk's timers count milliseconds, so a load comes in that many small bursts.
-- Every request carries the time at which it is sent as its request id, which its answer brings back.

local ffi = require("ffi")
ffi.cdef("typedef struct { long s; long ns; } moment; int clock_gettime(int clock, moment *now);")
local moment, MONOTONIC = ffi.new("moment"), ffi.os == "OSX" and 6 or 1
local START_S = 0.4  -- until then the connections are made
local MARK = "storm_"
local began, number, cards, place, last_place, gap, window_end

-- global, for `done` to get at: a thread of wrk has a Lua of its own, and hands out flat tables with keys of text only
sent, missed, in_time, mute, answers = -1, 0, 0, 0, {}  -- -1: wrk asks for one request that it only looks at

local function now()  -- microseconds
  ffi.C.clock_gettime(MONOTONIC, moment)
  return tonumber(moment.s) * 1e6 + tonumber(moment.ns) / 1e3 - began
end

function init(args)
  began = 0
  began = now()
  gap, number, cards = 1e6 / tonumber(args[1]), tonumber(args[3]), tonumber(args[4])
  place = START_S * 1e6
  window_end = place + tonumber(args[2]) * 1e6
end

function delay()  -- milliseconds
  local at = now()
  place = place + gap
  while place < at - 1e3 and place < window_end do
    missed, place = missed + 1, place + gap
  end
  if place >= window_end then return 1e6 end
  return math.max(0, math.floor((place - at) / 1e3 + 0.5))
end

function request()
  number, sent = number + 1, sent + 1
  local body = string.format(
    '{"transaction_id":"o%d","event_time":"%s","card_id":"card_%d","terminal_id":"t_%d","amount_minor":%d}',
    number, os.date("!%Y-%m-%dT%H:%M:%SZ", 1772409600 + number % 1e7), number % cards, number % 101, 100 + number % 9999)
  return string.format(
    "POST /v1/score HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: %d\r\nX-Request-ID: %s%d\r\n\r\n%s",
    #body, MARK, now(), body)
end

function response(status, headers)
  local at = now()
  local when = tonumber((headers["x-request-id"] or ""):match("^" .. MARK .. "(%d+)$"))
  local tenths = when and math.floor((at - when) / 100) or -1  -- of a millisecond; -1: its request is not known
  local key = status .. "," .. tenths
  answers[key] = (answers[key] or 0) + 1
  if status == 200 and at <= window_end then in_time = in_time + 1 end
  if (status == 429 or status == 503) and not headers["retry-after"] then mute = mute + 1 end
end

local thread
function setup(of_wrk) thread = of_wrk end

function done(summary)
  local errors, counts = summary.errors, {}
  for key, count in pairs(thread:get("answers")) do counts[#counts + 1] = string.format("[%s,%d]", key, count) end
  io.write(string.format(
    '{"sent":%d,"missed":%d,"in_time":%d,"mute":%d,"broken":%d,"answers":[%s]}\n',
    thread:get("sent"), thread:get("missed"), thread:get("in_time"), thread:get("mute"),
    errors.connect + errors.read + errors.write + errors.timeout, table.concat(counts, ",")))
end
