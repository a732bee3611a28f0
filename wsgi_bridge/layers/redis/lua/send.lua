-- Put a message on a channel, unless that is at capacity.
--
-- KEYS[1] queue of the channel (list of entries)
-- KEYS[2] figures of the channel (hash)
-- KEYS[3] figures of the shard (hash)
-- KEYS[4] index of the shard (zset: channel -> deadline of its oldest message, or earlier)
--
-- ARGV[1] now, in s           ARGV[4] deadline, in s
-- ARGV[2] entry               ARGV[5] lifetime of the keys, in ms
-- ARGV[3] capacity            ARGV[6] channel, as the index has it
--
-- Returns 1 when it was put, and else {0, expired entries}: also {1, expired} where these made room.

local now = tonumber(ARGV[1])
local size = redis.call('LLEN', KEYS[1])
local expired = nil
if size >= tonumber(ARGV[3]) then
  expired = drop_expired(now, ARGV[5])
  size = size - #expired
  if size >= tonumber(ARGV[3]) then
    count('full', 1, now, ARGV[5])
    return {0, expired}
  end
end
if size == 0 then
  redis.call('ZADD', KEYS[4], ARGV[4], ARGV[6])
end
redis.call('RPUSH', KEYS[1], ARGV[2])
redis.call('PEXPIRE', KEYS[1], ARGV[5])
count('sent', 1, now, ARGV[5])
return expired and {1, expired} or 1
