-- Takes works out of the queue. ARGV: prefix, now in ms, JSON list of works. A lease that is held goes on to its end.
for _, work in ipairs(cjson.decode(ARGV[3])) do
  displace(work)
  redis.call('DEL', P .. 'want:' .. work)
  redis.call('SREM', P .. 'parked', work)
  redis.call('HDEL', P .. 'attempts', work)
  -- The inventory in the cluster keeps the fence, too, so that a later life of this work still starts above it.
  if redis.call('EXISTS', P .. 'lease:' .. work) == 0 then redis.call('HDEL', P .. 'fences', work) end
end
return 1
