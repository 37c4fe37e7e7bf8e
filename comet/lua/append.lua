-- Appends entries to the cached tails of some users' lists and rings every node that holds one of them. Several users in one call take
-- two thirds of the time of as many calls; in a cluster, whose keys of one call lie in one slot, a call has one.
--
-- KEYS[3u-2] stream:{user}   KEYS[3u-1] head:{user}   KEYS[3u] lease:{user}   of the u-th user
-- ARGV[1] generation of the caller
-- ARGV[2] most entries kept   ARGV[3] seconds kept   ARGV[4] most bytes kept (0: none; head and bell only)
-- ARGV[5] most bytes of an entry in a bell   ARGV[6] seconds since 1970   ARGV[7] "" or, when the caller rings, "1"
-- ARGV[8], ... of each user: the last number by SQL, or "" if the caller has not asked; user; how many entries; and for each of
--              these, ascending, its number and itself as JSON
--
-- Returns for each user 1, 2 or 0. 2: he was not here for so long that his head has expired, and is not here now, and was left out. His
-- list is read from SQL when he comes, and of a million who are told something most do not; a node writes its lease before it reads the
-- head, so that it misses nothing. 0: he is here, his head is missing or of an older generation, and the number by SQL is "": nothing was
-- done for him. When the caller rings (see bells.go) it returns the nodes instead of the 1. An error is of one of the users; what could be
-- done for the others is.
-- A number that is there already, or is lower than the last one in the stream, is not added (a reader finds the hole and
-- asks SQL), and rings nonetheless: the bell of the first try may have been lost.
-- The list stands in SQL, and after a restart nothing of it is believed here (see watch): so it goes to replicas and not into
-- the append-only file, which would double what an append costs.
redis.set_repl(redis.REPL_REPLICA)

local generation, length, kept, budget = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])
local most, now, rings = tonumber(ARGV[5]), tonumber(ARGV[6]), ARGV[7] == ''
local failed

-- nodes are those that hold a user, as a set; nil: none does, as is mostly so, and no bell is made.
local function nodes(lease)
  local held, distinct = redis.call('HVALS', lease), nil
  for i = 1, #held do
    distinct = distinct or {}
    distinct[string.match(held[i], '^%S+')] = true
  end
  return distinct
end

-- append adds ARGV[first], ARGV[first + 1], ... ARGV[last] to the list of one user.
local function append(stream, key, lease, known, user, first, last)
  local distinct, bells = nodes(lease), {}
  local head = redis.call('HMGET', key, 'n', 'g', 'b', 'x')
  local number, bytes = head[1], tonumber(head[3] or '0')
  -- x is when both keys were last given their time to live: that is renewed once it has lost a twentieth, not at each append.
  local renew = now - tonumber(head[4] or '0') > tonumber(kept) / 20
  if not number or tonumber(head[2]) < tonumber(generation) then
    if known == '' then
      return distinct and 0 or 2
    end
    redis.call('DEL', stream)
    redis.call('HSET', key, 'g', generation)
    number, bytes, renew = known, 0, true
  end

  for i = first, last, 2 do
    local n, entry = ARGV[i], ARGV[i + 1]
    if tonumber(n) > tonumber(number) then
      number = n
    end
    if #entry <= budget then
      bytes = bytes + #entry
      if bytes > budget then -- begin anew: what is cut off is read from SQL
        redis.call('DEL', stream)
        bytes, renew = #entry, true
      end
      local added = redis.pcall('XADD', stream, 'MAXLEN', '~', length, n .. '-0', 'e', entry)
      if type(added) == 'table' and added.err and not string.find(added.err, 'smaller') then
        failed = added.err
        return 0
      end
    end
    if distinct and rings then
      local bell = 'e ' .. user .. ' ' .. n .. ' '
      if #entry <= most then
        bell = bell .. entry
      end
      bells[#bells + 1] = bell
    end
  end

  if renew then
    -- Without a stream (nothing was small enough to be kept) the next append has to try again.
    local there = redis.call('EXPIRE', stream, kept)
    redis.call('HSET', key, 'n', number, 'b', bytes, 'x', there == 1 and now or 0)
    redis.call('EXPIRE', key, kept)
  else
    redis.call('HSET', key, 'n', number, 'b', bytes)
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
  return rings and 1 or called
end

local answers, at = {}, 8
for u = 1, #KEYS / 3 do
  local first = at + 3
  at = first + 2 * tonumber(ARGV[at + 2])
  answers[u] = append(KEYS[3 * u - 2], KEYS[3 * u - 1], KEYS[3 * u], ARGV[first - 3], ARGV[first - 2], first, at - 1)
end
if failed then
  return redis.error_reply(failed)
end
return answers
