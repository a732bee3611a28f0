-- Make a channel a member of a group, or renew its membership.
--
-- KEYS[1] members of the group (zset: channel -> deadline)
-- KEYS[2] readers of the group (hash: reader -> number of its members)
-- KEYS[3] data of members (hash: channel -> content)
--
-- ARGV[1] now, in s           ARGV[3] lifetime of the keys, in ms
-- ARGV[2] deadline, in s      ARGV[4...] channels

leave_when_due(ARGV[1])
for i = 4, #ARGV do
  -- GT: a membership that is announced again may have been renewed meanwhile.
  if redis.call('ZADD', KEYS[1], 'GT', ARGV[2], ARGV[i]) == 1 then
    redis.call('HINCRBY', KEYS[2], reader_of(ARGV[i]), 1)
  end
end
for i = 1, 2 do
  redis.call('PEXPIRE', KEYS[i], ARGV[3])
end
return 1
