-- Turns a granted lease into a held one, once. ARGV: prefix, now in ms, work, fence, lease in ms.
-- Answers the lease's fields, or nothing when the fence is not the granted one or was claimed before.
local work, key = ARGV[3], P .. 'lease:' .. ARGV[3]
if redis.call('HGET', key, 'fence') ~= ARGV[4] or redis.call('HGET', key, 'state') ~= 'granted' then return {} end
redis.call('HSET', key, 'state', 'claimed')
redis.call('ZADD', P .. 'leases', whole(NOW + tonumber(ARGV[5])), work)
redis.call('SREM', P .. 'granted', work)
wake()
return redis.call('HGETALL', key)
