-- Drop the expired messages of a channel, and tell what is left.
--
-- KEYS[1] queue of the channel (list of entries)
-- KEYS[2] figures of the channel (hash)
-- KEYS[3] figures of the shard (hash)
-- KEYS[4] index of the shard (zset: channel -> deadline of its oldest message, or earlier)
--
-- ARGV[1] now, in s
-- ARGV[2] lifetime of the keys, in ms
-- ARGV[3] channel, as the index has it
--
-- Returns {messages left, deadline of the oldest one as 8 bytes or "", {expired entry, ...}}.

local expired = drop_expired(tonumber(ARGV[1]), ARGV[2])
local head = redis.call('LINDEX', KEYS[1], 0)
if not head then
  redis.call('ZREM', KEYS[4], ARGV[3])
  return {0, '', expired}
end
redis.call('ZADD', KEYS[4], struct.unpack('>d', head, 2), ARGV[3])
return {redis.call('LLEN', KEYS[1]), string.sub(head, 2, 9), expired}
