-- Put entries back at the head of a queue: they were taken, and nobody waits for them any more.
--
-- KEYS[1] queue of the channel (list of entries)
-- KEYS[2] index of the shard (zset: channel -> deadline of its oldest message, or earlier)
--
-- ARGV[1] lifetime of the queue, in ms
-- ARGV[2] channel, as the index has it
-- ARGV[3...] entries, the newest first

for i = 3, #ARGV do
  redis.call('LPUSH', KEYS[1], ARGV[i])
end
redis.call('PEXPIRE', KEYS[1], ARGV[1])
redis.call('ZADD', KEYS[2], struct.unpack('>d', ARGV[#ARGV], 2), ARGV[2])
return 1
