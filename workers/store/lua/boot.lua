-- Marks this Redis as seen. ARGV: prefix, now in ms, quarantine in ms. Answers 1 when it was not seen before.
if not redis.call('SET', P .. 'boot', whole(NOW), 'NX') then return 0 end
redis.call('SET', P .. 'grants-from', whole(NOW + tonumber(ARGV[3])))
return 1
