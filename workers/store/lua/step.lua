-- Carries out commands in the middle of a held lease, if it is still its holder's. ARGV: prefix, now in ms, work, fence, and then
-- the commands as `complete.lua` takes them.
if redis.call('HGET', P .. 'lease:' .. ARGV[3], 'fence') ~= ARGV[4] then return 0 end
carry_out(5)
return 1
