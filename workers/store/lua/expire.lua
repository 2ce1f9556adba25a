-- Takes back leases that ended without completion. ARGV: prefix, now in ms, lease in ms, most attempts.
-- A held one lost its child: counted, and quarantined for one lease length. One that nobody claimed comes due at once.
-- Answers a JSON list of {work, state, attempts}; the work whose attempts are used up is parked.
local p, now, lease, most = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local out = {}
for _, work in ipairs(redis.call('ZRANGEBYSCORE', p .. 'leases', '-inf', now, 'LIMIT', 0, 500)) do
  local key = p .. 'lease:' .. work
  local l = {}
  local flat = redis.call('HGETALL', key)
  for i = 1, #flat, 2 do l[flat[i]] = flat[i + 1] end
  redis.call('DEL', key)
  redis.call('ZREM', p .. 'leases', work)
  redis.call('SREM', p .. 'granted', work)
  local attempts, at = 0, now
  if l.state == 'claimed' then
    attempts = redis.call('HINCRBY', p .. 'attempts', work, 1)
    at = now + lease
    redis.call('ZADD', p .. 'quarantine', at, work)
  end
  local want = p .. 'want:' .. work
  if attempts >= most and redis.call('EXISTS', want) == 0 then
    redis.call('SADD', p .. 'parked', work)
  else
    if attempts >= most then redis.call('HDEL', p .. 'attempts', work) end
    local lane = math.min(tonumber(l.lane or '3'), tonumber(redis.call('HGET', want, 'lane') or '3'))
    redis.call('HSET', want, 'lane', lane)
    redis.call('HDEL', want, 'again')
    for _, field in ipairs({'reasons', 'commit', 'full', 'requests'}) do
      if l[field] and l[field] ~= '' then redis.call('HSETNX', want, field, l[field]) end
    end
    redis.call('ZADD', p .. 'due:' .. lane, at, work)
  end
  table.insert(out, cjson.encode({work, l.state or '', attempts}))
end
return '[' .. table.concat(out, ',') .. ']'
