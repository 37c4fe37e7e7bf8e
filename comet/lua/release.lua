-- Gives up a client's lease unless a newer connection holds it.
--
-- KEYS[1] lease:{user}
-- ARGV[1] client   ARGV[2] fence
local held = redis.call('HGET', KEYS[1], ARGV[1])
if held and string.match(held, '^%S+ (%d+)') == ARGV[2] then
  return redis.call('HDEL', KEYS[1], ARGV[1])
end
return 0
