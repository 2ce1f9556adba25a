-- What the scripts of the due queue share; put before each of them. P is the prefix, NOW the caller's time in ms.
-- Due work stands in one sorted set per lane, project and destination. Each lane keeps the earliest time of each project, and
-- each project of a lane that of each destination, so that fair turns cost one look per project, and a destination that takes
-- no more is passed over once, however much is due there: it is set aside until something ends there or it opens again.
local P, NOW = ARGV[1], tonumber(ARGV[2])
local LAST_LANE, MOST_REASONS = 3, 8
-- No lease or quarantine lasts longer than a minute: a later end was written by a clock that has since been set back.
local LONGEST_MS = 60000
-- Nor is a destination shut for longer than an hour.
local LONGEST_SHUT_MS = 3600000

local function project(work)
  return string.match(work, '^sync ([^/]*)/') or '(' .. (string.match(work, '^(%a+) ') or '') .. ')'
end

-- What the work keeps busy: the cluster of a sync, the Git host of a look-up; nothing for all else.
local function destination(work)
  if string.sub(work, 1, 5) == 'sync ' then return string.match(work, '@([^@]*)$') or '' end
  local url = string.match(work, '^refresh ([^ ]*)')
  if not url then return '' end
  local host = string.match(url, '^%a[%w+.-]*://([^/]*)') or string.match(url, '^[^/:]*')
  host = string.lower(string.match(host, '([^@]*)$'))
  return host ~= '' and 'git ' .. host or ''
end

local function words(key)
  local found, flat = {}, redis.call('HGETALL', key)
  for i = 1, #flat, 2 do found[flat[i]] = flat[i + 1] end
  return found
end

local function whole(number)
  return string.format('%.0f', number)
end

local function wake()
  redis.call('LPUSH', P .. 'wake', '1')
  redis.call('LTRIM', P .. 'wake', 0, 0)
end

local function note_project(lane, name)
  local head = redis.call('ZRANGE', P .. 'heads:' .. lane .. ':' .. name, 0, 0, 'WITHSCORES')
  if head[2] then
    redis.call('ZADD', P .. 'heads:' .. lane, head[2], name)
  else
    redis.call('ZREM', P .. 'heads:' .. lane, name)
  end
end

local function note_head(lane, name, where)
  local queue, heads = lane .. ':' .. name .. ':' .. where, P .. 'heads:' .. lane .. ':' .. name
  local head = redis.call('ZRANGE', P .. 'due:' .. queue, 0, 0, 'WITHSCORES')
  if head[2] then
    redis.call('ZADD', heads, head[2], where)
    redis.call('SADD', P .. 'queues', queue)
  else
    redis.call('ZREM', heads, where)
    redis.call('SREM', P .. 'queues', queue)
  end
  note_project(lane, name)
end

local function place(work, lane, at)
  local name, where = project(work), destination(work)
  redis.call('ZADD', P .. 'due:' .. lane .. ':' .. name .. ':' .. where, whole(at), work)
  note_head(lane, name, where)
end

-- Takes work out of the lane that it waits in. Answers since when it was due, or nil when it was not.
local function displace(work)
  local lane = redis.call('HGET', P .. 'want:' .. work, 'lane')
  if not lane then return nil end
  local name, where = project(work), destination(work)
  local due = P .. 'due:' .. lane .. ':' .. name .. ':' .. where
  local at = redis.call('ZSCORE', due, work)
  if not at then return nil end
  redis.call('ZREM', due, work)
  note_head(lane, name, where)
  return tonumber(at)
end

-- What was set aside for a destination is looked at again.
local function reopen(where)
  for _, one in ipairs(redis.call('SMEMBERS', P .. 'aside:' .. where)) do
    local lane, name = string.match(one, '^(%d+) (.*)$')
    note_head(lane, name, where)
  end
  redis.call('DEL', P .. 'aside:' .. where)
end

local function joined(known, more, most)
  local list, seen = cjson.decode(known or '[]'), {}
  for _, one in ipairs(list) do seen[one] = true end
  for _, one in ipairs(cjson.decode(more or '[]')) do
    if not seen[one] then table.insert(list, one) end
  end
  while most and #list > most do table.remove(list, 1) end
  return #list > 0 and cjson.encode(list) or '[]'
end

-- Adds a wish {lane, reasons, commit, full, requests} to what is wanted already; the more urgent lane of both.
local function join(work, wish)
  local key = P .. 'want:' .. work
  local known = words(key)
  local lane = math.min(tonumber(wish.lane), tonumber(known.lane or wish.lane))
  redis.call('HSET', key, 'lane', lane, 'reasons', joined(known.reasons, wish.reasons, MOST_REASONS),
    'requests', joined(known.requests, wish.requests))
  if (wish.commit or '') ~= '' then redis.call('HSET', key, 'commit', wish.commit) end
  if (wish.full or '') ~= '' then redis.call('HSET', key, 'full', '1') end
  return lane
end

local function drop_lease(work)
  redis.call('DEL', P .. 'lease:' .. work)
  redis.call('ZREM', P .. 'leases', work)
  redis.call('SREM', P .. 'granted', work)
  local where = destination(work)
  if where ~= '' then
    redis.call('SREM', P .. 'running:' .. where, work)
    reopen(where)
  end
end

-- What a lease took over is wanted again; what was wished meanwhile is newer, so its commit stays.
local function take_back(work, lease)
  local key = P .. 'want:' .. work
  lease.lane = lease.lane or LAST_LANE
  if redis.call('HEXISTS', key, 'commit') == 1 then lease.commit = '' end
  redis.call('HDEL', key, 'again')
  return join(work, lease)
end

-- Joins wishes {work, lane, at, reason, commit, full, request} to what is due.
local function mark(wishes)
  local woke = false
  for _, m in ipairs(wishes) do
    local work, lane, at = m[1], m[2], m[3]
    if lane <= 1 and redis.call('SREM', P .. 'parked', work) == 1 then
      redis.call('HDEL', P .. 'attempts', work)
    end
    if redis.call('SISMEMBER', P .. 'parked', work) == 0 then
      local since = displace(work)
      local requests = m[7] ~= '' and cjson.encode({m[7]}) or '[]'
      lane = join(work, {lane = lane, reasons = cjson.encode({m[4]}), commit = m[5], full = m[6] and '1' or '',
        requests = requests})
      if redis.call('EXISTS', P .. 'lease:' .. work) == 1 then
        local again = tonumber(redis.call('HGET', P .. 'want:' .. work, 'again') or at)
        redis.call('HSET', P .. 'want:' .. work, 'again', whole(math.min(at, again)))
      else
        place(work, lane, math.min(at, since or at))
        woke = true
      end
    end
  end
  if woke then wake() end
end

-- Carries out what a holder of a lease has found: commands in ARGV from i on, each as the number of its words and the words.
-- MARK is one of ours: its wishes, as JSON.
local function carry_out(i)
  while ARGV[i] do
    local last = i + tonumber(ARGV[i])
    if ARGV[i + 1] == 'MARK' then
      mark(cjson.decode(ARGV[i + 2]))
    else
      redis.call(unpack(ARGV, i + 1, last))
    end
    i = last + 1
  end
end
