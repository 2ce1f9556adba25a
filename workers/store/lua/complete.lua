-- Ends a lease by its holder. ARGV: prefix, now in ms, work, fence, next due in ms (0: none), lane of that, its reason,
-- highest fence met (0: none), and then commands, each as the number of its words and the words: what the holder found.
-- Wishes that came meanwhile make the work due at their time, with their own words.
local work, want = ARGV[3], P .. 'want:' .. ARGV[3]
if redis.call('HGET', P .. 'lease:' .. work, 'fence') ~= ARGV[4] then return 0 end
carry_out(9)
drop_lease(work)
redis.call('HDEL', P .. 'attempts', work)
if tonumber(ARGV[8]) > tonumber(redis.call('HGET', P .. 'fences', work) or '0') then
  redis.call('HSET', P .. 'fences', work, ARGV[8])
end
local again, after = tonumber(redis.call('HGET', want, 'again') or '0'), tonumber(ARGV[5])
redis.call('HDEL', want, 'again')
if after > 0 and (again == 0 or after < again) then
  join(work, {lane = ARGV[6], reasons = cjson.encode({ARGV[7]})})
  again = after
end
if again > 0 then place(work, redis.call('HGET', want, 'lane'), again) end
wake()
return 1
