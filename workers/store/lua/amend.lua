-- Writes fields of a hash that are still as they were read. KEYS[1]: the hash. ARGV: field, text before ('' for none), text after, …
-- Answers how many were written.
local written = 0
for i = 1, #ARGV, 3 do
  if (redis.call('HGET', KEYS[1], ARGV[i]) or '') == ARGV[i + 1] then
    redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 2])
    written = written + 1
  end
end
return written
