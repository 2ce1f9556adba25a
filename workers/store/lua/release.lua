-- Gives back a lease that nobody has claimed: it never reached the broker. ARGV: prefix, now in ms, work, fence.
local work, key = ARGV[3], P .. 'lease:' .. ARGV[3]
if redis.call('HGET', key, 'fence') ~= ARGV[4] or redis.call('HGET', key, 'state') ~= 'granted' then return 0 end
local lease = words(key)
drop_lease(work)
place(work, take_back(work, lease), NOW)
return 1
