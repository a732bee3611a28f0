-- Make a channel a member of a group, with data.
--
-- KEYS[1] members of the group (zset: channel -> deadline)
-- KEYS[2] readers of the group (hash: reader -> number of its members)
-- KEYS[3] data of members (hash: channel -> content)
--
-- ARGV[1] now, in s           ARGV[4] channel
-- ARGV[2] deadline, in s      ARGV[5] data
-- ARGV[3] lifetime of the keys, in ms

leave_when_due(ARGV[1])
if redis.call('ZADD', KEYS[1], 'GT', ARGV[2], ARGV[4]) == 1 then
  redis.call('HINCRBY', KEYS[2], reader_of(ARGV[4]), 1)
end
redis.call('HSET', KEYS[3], ARGV[4], ARGV[5])
for i = 1, 3 do
  redis.call('PEXPIRE', KEYS[i], ARGV[3])
end
return 1
