-- Tell who receives for the members of a group.
--
-- KEYS[1] members of the group (zset: channel -> deadline)
-- KEYS[2] readers of the group (hash: reader -> number of its members)
-- KEYS[3] data of members (hash: channel -> content)
--
-- ARGV[1] now, in s
--
-- Returns {reader, number of its members, reader, number, ...}.

leave_when_due(ARGV[1])
return redis.call('HGETALL', KEYS[2])
