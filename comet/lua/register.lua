-- Gives a client's connection its lease, tells the connection it replaces, and closes the oldest ones of a user who has
-- too many.
--
-- KEYS[1] lease:{user}: client -> "<node>:<start> <fence> <transport>"   KEYS[2] head:{user}
-- ARGV[1] user   ARGV[2] client   ARGV[3] "<node>:<start>"   ARGV[4] seconds kept: longer than any connection lives
-- ARGV[5] most clients of a user   ARGV[6] code for the replaced   ARGV[7] code for the oldest
-- ARGV[8] fence that the connection holds already (a lease that Redis lost is written again), or ""
-- ARGV[9] "" or, when the caller rings (see bells.go), "1"   ARGV[10] the connection's transport
--
-- Returns {fence, number or "", generation or "", node, bell, node, bell, ...}; fence is "" when a newer connection holds
-- the lease. The bells are those that the caller has to ring.
-- A fence is never lower than the server's clock in microseconds, so that a lost table cannot lower it.
local rung = {}
local function ring(node, bell)
  if ARGV[9] == '' then
    redis.call('PUBLISH', 'comet:' .. node, bell)
  else
    rung[#rung + 1] = node
    rung[#rung + 1] = bell
  end
end

local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local fence = now
local held = redis.call('HGET', KEYS[1], ARGV[2])
local node, stored
if held then
  node, stored = string.match(held, '^(%S+) (%d+)')
  fence = math.max(tonumber(stored) + 1, now)
end
if ARGV[8] ~= '' then
  if held and tonumber(stored) > tonumber(ARGV[8]) then
    return {'', '', ''}
  end
  fence = tonumber(ARGV[8])
end
local written = string.format('%.0f', fence)
if held and tonumber(stored) < fence then
  ring(node, 't ' .. ARGV[1] .. ' ' .. ARGV[2] .. ' ' .. written .. ' ' .. ARGV[6])
end
redis.call('HSET', KEYS[1], ARGV[2], ARGV[3] .. ' ' .. written .. ' ' .. ARGV[10])
redis.call('EXPIRE', KEYS[1], ARGV[4])

if redis.call('HLEN', KEYS[1]) > tonumber(ARGV[5]) then
  local all, live = redis.call('HGETALL', KEYS[1]), {}
  for i = 1, #all, 2 do
    local n, f = string.match(all[i + 1], '^(%S+) (%d+)')
    if now - tonumber(f) > ARGV[4] * 1000000 then
      redis.call('HDEL', KEYS[1], all[i]) -- of a node that died without a word
    else
      live[#live + 1] = {client = all[i], node = n, fence = tonumber(f)}
    end
  end
  table.sort(live, function(a, b) return a.fence < b.fence end)
  for i = 1, #live - ARGV[5] do
    local l = live[i]
    redis.call('HDEL', KEYS[1], l.client)
    ring(l.node, 't ' .. ARGV[1] .. ' ' .. l.client .. ' ' .. string.format('%.0f', l.fence + 1) .. ' ' .. ARGV[7])
  end
end

local head = redis.call('HMGET', KEYS[2], 'n', 'g')
return {written, head[1] or '', head[2] or '', unpack(rung)}
