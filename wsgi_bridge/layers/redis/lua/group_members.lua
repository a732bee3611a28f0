-- Tell the members of a group.
--
-- KEYS[1] members of the group (zset: channel -> deadline)
-- KEYS[2] readers of the group (hash: reader -> number of its members)
-- KEYS[3] data of members (hash: channel -> content)
--
-- ARGV[1] now, in s

leave_when_due(ARGV[1])
return redis.call('ZRANGE', KEYS[1], 0, -1)
