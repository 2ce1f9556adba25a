-- Takes back leases that ended without completion. ARGV: prefix, now in ms, lease in ms, most attempts.
-- A held one lost its child: counted, and quarantined for one lease length. One that nobody claimed comes due at once.
-- A sync that used up its attempts is parked, unless a commit or an operator asked for it meanwhile; scans and look-ups
-- go on with longer and longer pauses, since nothing else would ever ask for them again.
-- Answers a JSON list of {work, held, attempts, parked, requests}.
local lease, most, out = tonumber(ARGV[3]), tonumber(ARGV[4]), {}
redis.call('ZREMRANGEBYSCORE', P .. 'quarantine', '-inf', NOW)
for _, work in ipairs(redis.call('ZRANGEBYSCORE', P .. 'leases', whole(NOW + 2 * LONGEST_MS), '+inf')) do
  redis.call('ZADD', P .. 'leases', whole(NOW + LONGEST_MS), work)
end

local function lost(work, l)
  local attempts = redis.call('HINCRBY', P .. 'attempts', work, 1)
  redis.call('ZADD', P .. 'quarantine', whole(NOW + lease), work)
  if string.sub(work, 1, 5) ~= 'sync ' then return attempts, lease * 2 ^ math.min(attempts - 1, 4), false end
  if attempts < most then return attempts, lease, false end
  local wish = tonumber(redis.call('HGET', P .. 'want:' .. work, 'lane') or '9')
  if wish > 1 then return attempts, lease, true end
  redis.call('HDEL', P .. 'attempts', work)
  return attempts, lease, false
end

for _, work in ipairs(redis.call('ZRANGEBYSCORE', P .. 'leases', '-inf', NOW, 'LIMIT', 0, 500)) do
  local l = words(P .. 'lease:' .. work)
  local held, attempts, pause, parked = l.state == 'claimed', 0, 0, false
  if held then attempts, pause, parked = lost(work, l) end
  drop_lease(work)
  local lane = take_back(work, l)
  local requests = redis.call('HGET', P .. 'want:' .. work, 'requests')
  if parked then
    redis.call('SADD', P .. 'parked', work)
    redis.call('DEL', P .. 'want:' .. work)
  else
    place(work, lane, NOW + pause)
  end
  table.insert(out, cjson.encode({work, held, attempts, parked, requests}))
end
return '[' .. table.concat(out, ',') .. ']'
