-- Joins wishes to what is due. ARGV: prefix, now in ms, JSON list of
-- {work, lane, at, reason, commit, full, request}.
-- Work under a lease only gets "again": its completion makes it due. Parked work wants an operator or a commit.
local p, now = ARGV[1], tonumber(ARGV[2])
local woke = false
for _, m in ipairs(cjson.decode(ARGV[3])) do
  local work, lane, at = m[1], m[2], m[3]
  if lane <= 1 then
    redis.call('SREM', p .. 'parked', work)
    redis.call('HDEL', p .. 'attempts', work)
  end
  if redis.call('SISMEMBER', p .. 'parked', work) == 0 then
    local want = p .. 'want:' .. work
    local reasons = redis.call('HGET', want, 'reasons')
    reasons = reasons and cjson.decode(reasons) or {}
    local known = false
    for _, r in ipairs(reasons) do if r == m[4] then known = true end end
    if not known then table.insert(reasons, m[4]) end
    while #reasons > 8 do table.remove(reasons, 1) end
    redis.call('HSET', want, 'reasons', cjson.encode(reasons))
    if m[5] ~= '' then redis.call('HSET', want, 'commit', m[5]) end
    if m[6] then redis.call('HSET', want, 'full', '1') end
    if m[7] ~= '' then
      local requests = redis.call('HGET', want, 'requests')
      requests = requests and cjson.decode(requests) or {}
      table.insert(requests, m[7])
      redis.call('HSET', want, 'requests', cjson.encode(requests))
    end
    local before = tonumber(redis.call('HGET', want, 'lane') or '9')
    if lane < before then redis.call('HSET', want, 'lane', lane) end
    if redis.call('EXISTS', p .. 'lease:' .. work) == 1 then
      local again = tonumber(redis.call('HGET', want, 'again') or '0')
      if again == 0 or at < again then redis.call('HSET', want, 'again', at) end
    else
      local best = math.min(lane, before)
      for l = 0, 3 do
        local score = redis.call('ZSCORE', p .. 'due:' .. l, work)
        if score then
          at = math.min(at, tonumber(score))
          if l ~= best then redis.call('ZREM', p .. 'due:' .. l, work) end
        end
      end
      redis.call('ZADD', p .. 'due:' .. best, at, work)
      woke = true
    end
  end
end
if woke then
  redis.call('LPUSH', p .. 'wake', '1')
  redis.call('LTRIM', p .. 'wake', 0, 0)
end
return 1
