-- All that a sync needs to know. ARGV: prefix, instance, cluster, and the scopes of freezes and pauses that it is in.
-- Answers {spec, is of the fleet, has left, wants teardown, status, memory, judged, approval, pin, tombstone, stranger, brakes}; false for what is not known.
local P, key = ARGV[1], ARGV[2]
local digest, left = redis.call('HGET', P .. 'instances', key), redis.call('HGET', P .. 'left', key)
local spec = (digest or left) and redis.call('HGET', P .. 'specs', digest or left)
-- What a fleet file defines is never torn down, whoever asked for that while it was not.
local found = {spec, digest and 1 or 0, left and not digest and 1 or 0, digest and 0 or redis.call('SISMEMBER', P .. 'teardown', key)}
for _, name in ipairs({'status', 'memory'}) do
  table.insert(found, redis.call('HGET', P .. name, key))
end
local source = redis.call('HGET', P .. 'sources', key)
table.insert(found, source and redis.call('HGET', P .. 'judged', source))
table.insert(found, redis.call('HGET', P .. 'approvals', key))
table.insert(found, redis.call('HGET', P .. 'pins', ARGV[3]))
table.insert(found, redis.call('HGET', P .. 'tombstones', key))
table.insert(found, redis.call('HGET', P .. 'strangers', ARGV[3]))
table.insert(found, redis.call('HMGET', P .. 'brakes', unpack(ARGV, 4)))
return found
