-- One exchange with the shared log, in one atomic step; `data/valkey_log.py` is its only caller, and says what the keys hold.
-- ARGV: name of the log, origin of the caller's history ('': no history), its position (-1: no history), most arrivals to return,
--       then entries: 'payment' id facts | 'answer' id answer | 'record' id facts answer | 'label' id report_ms is_fraud source
-- Returns {1 when the entries were taken, arrivals after the position as one JSON array, an outcome for each entry}.

local state, arrivals, accepted, answers, labels, reported, earlier = unpack(KEYS)
local NEW, OTHER = '', '!' -- outcomes; the others are '?' with a sequence (accepted, not answered yet) and a stored answer

local facts = redis.call('HMGET', state, 'name', 'origin', 'last')
local origin, position, most = ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local last = tonumber(facts[3] or 0)
if facts[1] ~= ARGV[1] or position > last or (origin ~= '' and facts[2] and facts[2] ~= origin) then
    return redis.error_reply('OTHERLOG the caller follows another log')
end

local function arrive(event, label)
    last = last + 1
    redis.call('XADD', arrivals, last .. '-0', 'event', event, 'label', label)
    return last
end

local function event_at(sequence)
    return redis.call('XRANGE', arrivals, sequence .. '-0', sequence .. '-0')[1][2][2]
end

local function answer_of(id)
    local answer = redis.call('HGET', answers, id)
    return answer and string.match(answer, '^[^\n]*')
end

local function payment(id, given)
    local sequence = redis.call('HGET', accepted, id)
    if not sequence then
        redis.call('HSET', accepted, id, arrive(given, ''))
        return NEW
    end
    if event_at(sequence) ~= given then return OTHER end
    return answer_of(id) or '?' .. sequence
end

local function answer(id, given) -- the first one stays; a payment that is not here was accepted by a log that is gone
    if redis.call('HEXISTS', accepted, id) == 0 then return OTHER end
    if redis.call('HSETNX', answers, id, given) == 1 then return NEW end
    return answer_of(id)
end

local function parties(id)
    local sequence = redis.call('HGET', accepted, id)
    if sequence then
        local event = cjson.decode(event_at(sequence))
        return event[3], event[4]
    end
    local known = redis.call('HGET', earlier, id)
    if known then return unpack(cjson.decode(known)) end
end

local function label(id, report_ms, is_fraud, source)
    local card, terminal = parties(id)
    if not card then return OTHER end
    local whole = report_ms .. '|' .. is_fraud .. '|' .. source
    if redis.call('SADD', labels, id .. '|' .. whole) == 0 then return NEW end
    local event = '["' .. id .. '"]'
    if is_fraud == '1' and redis.call('HSETNX', reported, id, last + 1) == 1 then -- a payment counts as reported once
        event = string.format('["%s",%s,"%s","%s"]', id, report_ms, card, terminal)
    end
    arrive(event, whole)
    return NEW
end

local function after(sequence, count)
    local events = {}
    for i, entry in ipairs(redis.call('XRANGE', arrivals, (sequence + 1) .. '-0', '+', 'COUNT', count)) do
        events[i] = entry[2][2]
    end
    return '[' .. table.concat(events, ',') .. ']'
end

if position >= 0 and last - position > most then
    return { 0, after(position, most), {} } -- too far behind: first what came before
end

local outcomes = {}
local i, before = 5, last
while i <= #ARGV do
    local kind, id, given = ARGV[i], ARGV[i + 1], ARGV[i + 2]
    local outcome
    if kind == 'payment' then
        outcome, i = payment(id, given), i + 3
    elseif kind == 'answer' then
        outcome, i = answer(id, given), i + 3
    elseif kind == 'record' then
        outcome = payment(id, given)
        if outcome ~= OTHER then outcome = answer(id, ARGV[i + 3]) end
        i = i + 4
    else
        outcome, i = label(id, given, ARGV[i + 3], ARGV[i + 4]), i + 5
    end
    outcomes[#outcomes + 1] = outcome
end
if last > before then
    redis.call('HSET', state, 'last', last)
    if origin ~= '' and not facts[2] then redis.call('HSET', state, 'origin', origin) end
end
return { 1, position >= 0 and after(position, last - position + 1) or '[]', outcomes }
