-- Leases due work, lane by lane; within a lane the project that was served longest ago goes first.
-- A destination takes so many at once, and while it is shut only what an operator wants.
-- ARGV: prefix, now in ms, budget, lease in ms, most syncs at once of a cluster, most look-ups at once of a Git host. A Redis without its boot marker was emptied and grants nothing.
-- Answers a JSON list of {work, fence, lane, reasons, commit, full, requests}.
local budget, lease, out = tonumber(ARGV[3]), tonumber(ARGV[4]), {}
local most_syncs, most_looks = tonumber(ARGV[5]), tonumber(ARGV[6])
if redis.call('EXISTS', P .. 'boot') == 0 then return '[]' end
local from = tonumber(redis.call('GET', P .. 'grants-from') or '0')
if from > NOW + 2 * LONGEST_MS then
  from = NOW + LONGEST_MS
  redis.call('SET', P .. 'grants-from', whole(from))
end
if NOW < from then return '[]' end

local function by_turn(names)
  local served = {}
  for _, name in ipairs(names) do served[name] = tonumber(redis.call('HGET', P .. 'served', name) or '0') end
  table.sort(names, function(a, b) return served[a] < served[b] or (served[a] == served[b] and a < b) end)
  return names
end

for _, where in ipairs(redis.call('ZRANGEBYSCORE', P .. 'shut', '-inf', NOW)) do
  redis.call('ZREM', P .. 'shut', where)
  reopen(where)
end
for _, where in ipairs(redis.call('ZRANGEBYSCORE', P .. 'shut', whole(NOW + 2 * LONGEST_SHUT_MS), '+inf')) do
  redis.call('ZADD', P .. 'shut', whole(NOW + LONGEST_SHUT_MS), where)
end

local function takes_no_more(lane, where)
  if where == '' then return false end
  if lane > 0 and redis.call('ZSCORE', P .. 'shut', where) then return true end
  local most = string.sub(where, 1, 4) == 'git ' and most_looks or most_syncs
  return redis.call('SCARD', P .. 'running:' .. where) >= most
end

-- The next work of a queue that may be leased; what is quarantined is due when its quarantine ends.
local function next_there(due)
  while true do
    local work = redis.call('ZRANGEBYSCORE', due, '-inf', NOW, 'LIMIT', 0, 1)[1]
    if not work then return nil end
    local blocked = tonumber(redis.call('ZSCORE', P .. 'quarantine', work) or '0')
    local leased = redis.call('EXISTS', P .. 'lease:' .. work) == 1
    if blocked <= NOW and not leased then return work end
    if blocked > NOW + 2 * LONGEST_MS then
      blocked = NOW + LONGEST_MS
      redis.call('ZADD', P .. 'quarantine', whole(blocked), work)
    end
    if leased then redis.call('ZREM', due, work) else redis.call('ZADD', due, whole(blocked), work) end
  end
end

-- The next work of a project that may be leased, and where it goes.
local function next_of(lane, name)
  local heads = P .. 'heads:' .. lane .. ':' .. name
  while true do
    local where = redis.call('ZRANGEBYSCORE', heads, '-inf', NOW, 'LIMIT', 0, 1)[1]
    if not where then return nil end
    if takes_no_more(lane, where) then
      redis.call('ZREM', heads, where)
      redis.call('SADD', P .. 'aside:' .. where, lane .. ' ' .. name)
    else
      local work = next_there(P .. 'due:' .. lane .. ':' .. name .. ':' .. where)
      if work then return work, where end
      note_head(lane, name, where)
    end
  end
end

local function give(work, lane, name, where)
  local w = words(P .. 'want:' .. work)
  local fence = whole(math.max(NOW, tonumber(redis.call('HGET', P .. 'fences', work) or '0') + 1))
  local reasons, requests = w.reasons or '[]', w.requests or '[]'
  redis.call('HSET', P .. 'lease:' .. work, 'fence', fence, 'state', 'granted', 'lane', lane, 'reasons', reasons,
    'commit', w.commit or '', 'full', w.full or '', 'requests', requests)
  redis.call('HSET', P .. 'fences', work, fence)
  redis.call('ZADD', P .. 'leases', whole(NOW + lease), work)
  redis.call('SADD', P .. 'granted', work)
  redis.call('ZREM', P .. 'due:' .. lane .. ':' .. name .. ':' .. where, work)
  if where ~= '' then redis.call('SADD', P .. 'running:' .. where, work) end
  note_head(lane, name, where)
  redis.call('DEL', P .. 'want:' .. work)
  redis.call('HSET', P .. 'served', name, redis.call('INCR', P .. 'turn'))
  table.insert(out, cjson.encode({work, fence, lane, reasons, w.commit or '', w.full or '', requests}))
end

for lane = 0, LAST_LANE do
  if #out >= budget then break end
  local names = by_turn(redis.call('ZRANGEBYSCORE', P .. 'heads:' .. lane, '-inf', NOW))
  local touched = names
  while #names > 0 and #out < budget do
    local left = {}
    for _, name in ipairs(names) do
      local work, where
      if #out < budget then work, where = next_of(lane, name) end
      if work then
        give(work, lane, name, where)
        table.insert(left, name)
      end
    end
    names = left
  end
  for _, name in ipairs(touched) do note_project(lane, name) end
end
return '[' .. table.concat(out, ',') .. ']'
