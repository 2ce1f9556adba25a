-- Joins wishes to what is due. ARGV: prefix, now in ms, JSON list of {work, lane, at, reason, commit, full, request}.
-- Work under a lease only gets "again": its completion makes it due. Parked work wants an operator or a commit.
local woke = false
for _, m in ipairs(cjson.decode(ARGV[3])) do
  local work, lane, at = m[1], m[2], m[3]
  if lane <= 1 and redis.call('SREM', P .. 'parked', work) == 1 then
    redis.call('HDEL', P .. 'attempts', work)
  end
  if redis.call('SISMEMBER', P .. 'parked', work) == 0 then
    local since = displace(work)
    local requests = m[7] ~= '' and cjson.encode({m[7]}) or '[]'
    lane = join(work, {lane = lane, reasons = cjson.encode({m[4]}), commit = m[5], full = m[6] and '1' or '',
      requests = requests})
    if redis.call('EXISTS', P .. 'lease:' .. work) == 1 then
      local again = tonumber(redis.call('HGET', P .. 'want:' .. work, 'again') or at)
      redis.call('HSET', P .. 'want:' .. work, 'again', whole(math.min(at, again)))
    else
      place(work, lane, math.min(at, since or at))
      woke = true
    end
  end
end
if woke then wake() end
return 1
