-- wrk's requests and its report for `python -m tests.bench serving`: wrk -t1 ... -s score.lua URL -- FILE FIRST SPAN
--
-- FILE holds one request a line and is gone through in a circle. A line is either a whole JSON body, or the time of a payment,
-- a tab, and its body after the id and the time: then every request gets an id of its own, and each round of the circle
-- happens SPAN seconds later than the one before, so that no payment is a repetition and none is late. FIRST is the number
-- of the first request. One line of JSON is printed at the end.

local bodies, times = {}, {}
local head, number, span

function init(args)
  number, span = tonumber(args[2]), tonumber(args[3])
  for line in io.lines(args[1]) do
    local time, rest = line:match("^(%d+)\t(.*)$")
    bodies[#bodies + 1] = rest or line
    times[#bodies] = time and tonumber(time)
  end
  head = "POST " .. wrk.path .. " HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: "
end

function request()
  local at = number % #bodies + 1
  local body = bodies[at]
  if times[at] then
    local time = os.date("!%Y-%m-%dT%H:%M:%SZ", times[at] + math.floor(number / #bodies) * span)
    body = '{"transaction_id":"p' .. number .. '","event_time":"' .. time .. '",' .. body
  end
  number = number + 1
  return head .. #body .. "\r\n\r\n" .. body
end

function done(summary, latency)
  local errors = summary.errors
  io.write(string.format(
    '{"requests":%d,"seconds":%.6f,"refused":%d,"broken":%d,"p50_us":%d,"p99_us":%d}\n',
    summary.requests, summary.duration / 1e6, errors.status, errors.connect + errors.read + errors.write + errors.timeout,
    latency:percentile(50), latency:percentile(99)))
end
