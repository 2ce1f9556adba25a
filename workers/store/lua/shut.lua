-- Shuts a destination until a time, never for shorter than it is, or opens it. ARGV: prefix, now in ms, destination, until in ms (0: open now).
-- Answers 1 when it was shut before.
local was = redis.call('ZSCORE', P .. 'shut', ARGV[3]) and 1 or 0
if tonumber(ARGV[4]) > NOW then
  redis.call('ZADD', P .. 'shut', 'GT', ARGV[4], ARGV[3])
elseif was == 1 then
  redis.call('ZREM', P .. 'shut', ARGV[3])
  reopen(ARGV[3])
  wake()
end
return was
