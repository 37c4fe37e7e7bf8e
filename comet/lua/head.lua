-- Writes back the last number that was read from SQL.
--
-- KEYS[1] stream:{user}   KEYS[2] head:{user}   KEYS[3] lease:{user}
-- ARGV[1] generation   ARGV[2] number   ARGV[3] seconds kept
--
-- Returns the number that stands: a higher one of this or a newer generation was written by an append meanwhile. Of who has neither a lease
-- nor such a head nothing is written: appends leave him out, so a number may be missing that was given after SQL was read.
local head = redis.call('HMGET', KEYS[2], 'n', 'g')
local believed = head[1] and tonumber(head[2]) >= tonumber(ARGV[1])
if not believed and redis.call('EXISTS', KEYS[3]) == 0 then
  return ARGV[2]
end
if not believed then
  redis.call('DEL', KEYS[1])
  redis.call('HSET', KEYS[2], 'n', ARGV[2], 'g', ARGV[1], 'b', 0, 'x', 0)
elseif tonumber(head[1]) < tonumber(ARGV[2]) then
  redis.call('HSET', KEYS[2], 'n', ARGV[2])
end
redis.call('EXPIRE', KEYS[2], ARGV[3])
return redis.call('HGET', KEYS[2], 'n')
