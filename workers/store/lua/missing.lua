-- Of some works, those that are neither due nor leased nor parked.
local found = {}
for i = 3, #ARGV do
  local work = ARGV[i]
  local lane = redis.call('HGET', P .. 'want:' .. work, 'lane')
  local due = lane and redis.call('ZSCORE', P .. 'due:' .. lane .. ':' .. project(work) .. ':' .. destination(work), work)
  if not due and not redis.call('ZSCORE', P .. 'leases', work)
    and redis.call('SISMEMBER', P .. 'parked', work) == 0 then
    table.insert(found, work)
  end
end
return found
