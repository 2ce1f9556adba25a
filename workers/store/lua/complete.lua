-- Ends a lease by its holder. ARGV: prefix, now in ms, work, fence, next due in ms (0: none), lane of that, its reason,
-- highest fence met (0: none). Wishes that came meanwhile make the work due at their time, with their own words.
local p, now, work = ARGV[1], tonumber(ARGV[2]), ARGV[3]
local key = p .. 'lease:' .. work
if redis.call('HGET', key, 'fence') ~= ARGV[4] then return 0 end
redis.call('DEL', key)
redis.call('ZREM', p .. 'leases', work)
redis.call('SREM', p .. 'granted', work)
redis.call('HDEL', p .. 'attempts', work)
local met = tonumber(ARGV[8])
if met > tonumber(redis.call('HGET', p .. 'fences', work) or '0') then
  redis.call('HSET', p .. 'fences', work, string.format('%.0f', met))
end
local want = p .. 'want:' .. work
local again = tonumber(redis.call('HGET', want, 'again') or '0')
if again > 0 then
  redis.call('HDEL', want, 'again')
  redis.call('ZADD', p .. 'due:' .. redis.call('HGET', want, 'lane'), again, work)
end
local next_at = tonumber(ARGV[5])
if next_at > 0 and (again == 0 or next_at < again) then
  if again == 0 then
    redis.call('HSET', want, 'lane', ARGV[6], 'reasons', cjson.encode({ARGV[7]}))
    redis.call('ZADD', p .. 'due:' .. ARGV[6], next_at, work)
  else
    redis.call('ZADD', p .. 'due:' .. redis.call('HGET', want, 'lane'), next_at, work)
  end
end
redis.call('LPUSH', p .. 'wake', '1')
redis.call('LTRIM', p .. 'wake', 0, 0)
return 1
