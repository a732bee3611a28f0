-- Take back what was scheduled under a name.
--
-- KEYS[1] timetable of the shard (zset: name -> time)
-- KEYS[2] scheduled messages of the shard (hash: name -> 8 bytes that nobody else has, content)
--
-- ARGV[1] name
--
-- Returns 1 if there was anything.

redis.call('HDEL', KEYS[2], ARGV[1])
return redis.call('ZREM', KEYS[1], ARGV[1])
