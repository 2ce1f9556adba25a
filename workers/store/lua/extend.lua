-- Makes a held lease last longer, while it lasts. ARGV: prefix, now in ms, work, fence, lease in ms.
local work, key = ARGV[3], P .. 'lease:' .. ARGV[3]
if redis.call('HGET', key, 'fence') ~= ARGV[4] or redis.call('HGET', key, 'state') ~= 'claimed' then return 0 end
if tonumber(redis.call('ZSCORE', P .. 'leases', work)) <= NOW then return 0 end
redis.call('ZADD', P .. 'leases', whole(NOW + tonumber(ARGV[5])), work)
return 1
