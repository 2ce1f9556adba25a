-- Drops from the head of a list the entries whose ids were journalled. KEYS[1]: the list. ARGV: the ids.
local kept = {}
for _, id in ipairs(ARGV) do kept[id] = true end
while true do
  local head = redis.call('LINDEX', KEYS[1], 0)
  if not head or not kept[cjson.decode(head).id] then return 1 end
  redis.call('LPOP', KEYS[1])
end
