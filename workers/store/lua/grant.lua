-- Leases due work, lane by lane, projects in turn. ARGV: prefix, now in ms, budget, lease in ms.
-- Answers a JSON list of {work, fence, lane, reasons, commit, full, requests, attempts}.
local p, now, budget, lease = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
if now < tonumber(redis.call('GET', p .. 'grants-from') or '0') then return '[]' end

local function project(work)
  return string.match(work, '^sync ([^/]*)/') or string.match(work, '^(%a+) ') or ''
end

local out = {}
for lane = 0, 3 do
  local due = p .. 'due:' .. lane
  if #out < budget then
    local turns, order = {}, {}
    for _, work in ipairs(redis.call('ZRANGEBYSCORE', due, '-inf', now, 'LIMIT', 0, budget * 4)) do
      local blocked = tonumber(redis.call('ZSCORE', p .. 'quarantine', work) or '0')
      if blocked > now then
        redis.call('ZADD', due, blocked, work)
      else
        if blocked > 0 then redis.call('ZREM', p .. 'quarantine', work) end
        local name = project(work)
        if not turns[name] then turns[name] = {}; table.insert(order, name) end
        table.insert(turns[name], work)
      end
    end
    local round, found = 1, true
    while found and #out < budget do
      found = false
      for _, name in ipairs(order) do
        local work = turns[name][round]
        if work and #out < budget then
          found = true
          local want = p .. 'want:' .. work
          local w = {}
          local flat = redis.call('HGETALL', want)
          for i = 1, #flat, 2 do w[flat[i]] = flat[i + 1] end
          local fence = math.max(now, tonumber(redis.call('HGET', p .. 'fences', work) or '0') + 1)
          local attempts = tonumber(redis.call('HGET', p .. 'attempts', work) or '0')
          local key = p .. 'lease:' .. work
          redis.call('HSET', key, 'fence', string.format('%.0f', fence), 'state', 'granted', 'lane', lane,
            'reasons', w.reasons or '[]', 'commit', w.commit or '', 'full', w.full or '', 'requests', w.requests or '[]')
          redis.call('HSET', p .. 'fences', work, string.format('%.0f', fence))
          redis.call('ZADD', p .. 'leases', now + lease, work)
          redis.call('SADD', p .. 'granted', work)
          redis.call('ZREM', due, work)
          redis.call('DEL', want)
          table.insert(out, cjson.encode({work, string.format('%.0f', fence), lane, w.reasons or '[]', w.commit or '',
            w.full or '', w.requests or '[]', attempts}))
        end
      end
      round = round + 1
    end
  end
end
return '[' .. table.concat(out, ',') .. ']'
