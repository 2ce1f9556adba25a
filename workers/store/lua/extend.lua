-- Makes a held lease last longer, while it lasts. ARGV: prefix, now in ms, work, fence, lease in ms.
local p, now, work = ARGV[1], tonumber(ARGV[2]), ARGV[3]
local key = p .. 'lease:' .. work
if redis.call('HGET', key, 'fence') ~= ARGV[4] or redis.call('HGET', key, 'state') ~= 'claimed' then return 0 end
local ends = tonumber(redis.call('ZSCORE', p .. 'leases', work) or '0')
if ends <= now then return 0 end
redis.call('ZADD', p .. 'leases', now + tonumber(ARGV[5]), work)
return 1
