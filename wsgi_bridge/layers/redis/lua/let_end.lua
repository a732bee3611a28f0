-- Let a value end soon: the channel that owns it is gone.
--
-- KEYS[1] value (hash: version, deadline, content, owner, grace)
--
-- ARGV[1] channel, as in keys
-- ARGV[2] now, in s
--
-- Does nothing if another channel owns it by now.

local found = redis.call('HMGET', KEYS[1], 'owner', 'deadline', 'grace')
if found[1] ~= ARGV[1] then
  return 0
end
local deadline = math.min(tonumber(found[2]), ARGV[2] + found[3])
redis.call('HSET', KEYS[1], 'owner', '', 'deadline', string.format('%.17g', deadline))
return 1
