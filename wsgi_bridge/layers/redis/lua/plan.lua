-- Schedule a message, instead of an earlier one of that name.
--
-- KEYS[1] timetable of the shard (zset: name -> time)
-- KEYS[2] scheduled messages of the shard (hash: name -> 8 bytes that nobody else has, content)
--
-- ARGV[1] name    ARGV[2] time, in s    ARGV[3] message

redis.call('ZADD', KEYS[1], ARGV[2], ARGV[1])
redis.call('HSET', KEYS[2], ARGV[1], ARGV[3])
return 1
