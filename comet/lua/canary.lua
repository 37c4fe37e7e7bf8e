-- Sets a canary unless somebody else has just set it.
--
-- KEYS[1] canary:{n}
-- ARGV[1] value that the caller saw, "" for none   ARGV[2] new value
--
-- Returns the value that stands.
local value = redis.call('GET', KEYS[1]) or ''
if value == ARGV[1] then
  redis.call('SET', KEYS[1], ARGV[2])
  return ARGV[2]
end
return value
