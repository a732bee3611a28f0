-- Put a message of a will on its channel, once, whether or not there is room: it is there already.
--
-- KEYS[1] queue of the channel (list of entries)
-- KEYS[2] figures of the channel (hash)
-- KEYS[3] figures of the shard (hash)
-- KEYS[4] index of the shard (zset: channel -> deadline of its oldest message, or earlier)
-- KEYS[5] that it was put (string)
--
-- ARGV[1] now, in s           ARGV[4] channel, as the index has it
-- ARGV[2] deadline, in s      ARGV[5] entry
-- ARGV[3] lifetime of the keys, in ms

if not redis.call('SET', KEYS[5], 1, 'NX', 'PX', ARGV[3]) then
  return 0
end
if redis.call('LLEN', KEYS[1]) == 0 then
  redis.call('ZADD', KEYS[4], ARGV[2], ARGV[4])
end
redis.call('RPUSH', KEYS[1], ARGV[5])
redis.call('PEXPIRE', KEYS[1], ARGV[3])
count('sent', 1, tonumber(ARGV[1]), ARGV[3])
return 1
