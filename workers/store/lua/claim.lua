-- Turns a granted lease into a held one, once. ARGV: prefix, now in ms, work, fence, lease in ms.
-- Answers the lease's fields, or nothing when the fence is not the granted one or was claimed before.
local p, now, work, fence = ARGV[1], tonumber(ARGV[2]), ARGV[3], ARGV[4]
local key = p .. 'lease:' .. work
if redis.call('HGET', key, 'fence') ~= fence or redis.call('HGET', key, 'state') ~= 'granted' then return {} end
redis.call('HSET', key, 'state', 'claimed')
redis.call('ZADD', p .. 'leases', now + tonumber(ARGV[5]), work)
redis.call('SREM', p .. 'granted', work)
redis.call('LPUSH', p .. 'wake', '1')
redis.call('LTRIM', p .. 'wake', 0, 0)
return redis.call('HGETALL', key)
