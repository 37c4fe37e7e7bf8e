-- Appends entries to the cached tail of one user's list and rings every node that holds the user.
--
-- KEYS[1] stream:{user}   KEYS[2] head:{user}   KEYS[3] lease:{user}
-- ARGV[1] generation of the caller
-- ARGV[2] last number by SQL, or "" if the caller has not asked
-- ARGV[3] user
-- ARGV[4] most entries kept   ARGV[5] seconds kept   ARGV[6] most bytes kept (0: none; head and bell only)
-- ARGV[7] most bytes of an entry in a bell   ARGV[8] seconds since 1970   ARGV[9] "" or, when the caller rings, "1"
-- ARGV[10], ARGV[11], ... number, entry as JSON, ascending
--
-- Returns 1, or 0 when the head is missing or of an older generation and ARGV[2] is "": nothing was done then. When the
-- caller rings (see bells.go) it returns the nodes instead of the 1.
-- A number that is there already, or is lower than the last one in the stream, is not added (a reader finds the hole and
-- asks SQL), and rings nonetheless: the bell of the first try may have been lost.
-- The list stands in SQL, and after a restart nothing of it is believed here (see watch): so it goes to replicas and not into
-- the append-only file, which would double what an append costs.
redis.set_repl(redis.REPL_REPLICA)

local head = redis.call('HMGET', KEYS[2], 'n', 'g', 'b', 'x')
local number, bytes, now = head[1], tonumber(head[3] or '0'), tonumber(ARGV[8])
-- x is when both keys were last given their time to live: that is renewed once it has lost a twentieth, not at each append.
local renew = now - tonumber(head[4] or '0') > tonumber(ARGV[5]) / 20
if not number or tonumber(head[2]) < tonumber(ARGV[1]) then
  if ARGV[2] == '' then
    return 0
  end
  redis.call('DEL', KEYS[1])
  redis.call('HSET', KEYS[2], 'g', ARGV[1])
  number, bytes, renew = ARGV[2], 0, true
end

local nodes, distinct = redis.call('HVALS', KEYS[3]), nil -- nil: nobody listens, as is mostly so, and no bell is made
for i = 1, #nodes do
  distinct = distinct or {}
  distinct[string.match(nodes[i], '^%S+')] = true
end

local budget, bells = tonumber(ARGV[6]), {}
for i = 10, #ARGV, 2 do
  local n, entry = ARGV[i], ARGV[i + 1]
  if tonumber(n) > tonumber(number) then
    number = n
  end
  if #entry <= budget then
    bytes = bytes + #entry
    if bytes > budget then -- begin anew: what is cut off is read from SQL
      redis.call('DEL', KEYS[1])
      bytes, renew = #entry, true
    end
    local added = redis.pcall('XADD', KEYS[1], 'MAXLEN', '~', ARGV[4], n .. '-0', 'e', entry)
    if type(added) == 'table' and added.err and not string.find(added.err, 'smaller') then
      return redis.error_reply(added.err)
    end
  end
  if distinct and ARGV[9] == '' then
    local bell = 'e ' .. ARGV[3] .. ' ' .. n .. ' '
    if #entry <= tonumber(ARGV[7]) then
      bell = bell .. entry
    end
    bells[#bells + 1] = bell
  end
end

if renew then
  -- Without a stream (nothing was small enough to be kept) the next append has to try again.
  local there = redis.call('EXPIRE', KEYS[1], ARGV[5])
  redis.call('HSET', KEYS[2], 'n', number, 'b', bytes, 'x', there == 1 and now or 0)
  redis.call('EXPIRE', KEYS[2], ARGV[5])
else
  redis.call('HSET', KEYS[2], 'n', number, 'b', bytes)
end

if not distinct then
  return 1
end
local called = {}
for node in pairs(distinct) do
  if #bells > 0 then
    redis.call('PUBLISH', 'comet:' .. node, table.concat(bells, '\n'))
  end
  called[#called + 1] = node
end
return ARGV[9] == '' and 1 or called
