-- One exchange with the shared log, in one atomic step; `data/valkey_log.py` is its only caller, and says what the keys hold.
-- ARGV: name of the log, origin of the caller's history ('': no history), its position (-1: no history), most arrivals to return,
--       payments and labels, a line each, in order; then answers, an argument each. Lines, as a client spends 2 us on an argument.
-- Returns {1 when all was taken, arrivals after the position as one JSON array, what became of payments and labels, of answers},
-- the last two a line each: empty (new), '!' (refused), '?' and a place (accepted, not answered yet), or a stored answer.

local state, arrivals, accepted, answers, labels, reported, earlier = unpack(KEYS)
local NEW, REFUSED = '', '!'
local refused = {} -- ids that came with another body: an answer to that body is none to the payment that is here

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

local function payment(given)
    local id = string.match(given, '^%["([^"]*)"')
    local sequence = redis.call('HGET', accepted, id)
    if not sequence then
        redis.call('HSET', accepted, id, arrive(given, ''))
        return NEW
    end
    if event_at(sequence) ~= given then
        refused[id] = true
        return REFUSED
    end
    return answer_of(id) or '?' .. sequence
end

local function answer(given) -- the first one stays; a payment that is not here was accepted by a log that is gone
    local id = string.match(given, '^{"transaction_id":"([^"]*)"')
    if refused[id] or redis.call('HEXISTS', accepted, id) == 0 then return REFUSED end
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

local function label(line)
    local id, report_ms, is_fraud, source = string.match(line, '^(.*)|(.*)|(.*)|(.*)$')
    local card, terminal = parties(id)
    if not card then return REFUSED end
    if redis.call('SADD', labels, line) == 0 then return NEW end
    local event = '["' .. id .. '"]'
    if is_fraud == '1' and redis.call('HSETNX', reported, id, last + 1) == 1 then -- a payment counts as reported once
        event = string.format('["%s",%s,"%s","%s"]', id, report_ms, card, terminal)
    end
    arrive(event, line)
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
    return { 0, after(position, most), '', '' } -- too far behind: first what came before
end

local outcomes, stored, before = {}, {}, last
for line in string.gmatch(ARGV[5], '[^\n]+') do
    outcomes[#outcomes + 1] = string.sub(line, 1, 1) == '[' and payment(line) or label(line)
end
for i = 6, #ARGV do
    stored[i - 5] = answer(ARGV[i])
end
if last > before then
    redis.call('HSET', state, 'last', last)
    if origin ~= '' and not facts[2] then redis.call('HSET', state, 'origin', origin) end
end
local news = position >= 0 and after(position, last - position + 1) or '[]'
return { 1, news, table.concat(outcomes, '\n'), table.concat(stored, '\n') }
