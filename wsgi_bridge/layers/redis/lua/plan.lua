-- Schedule a message, instead of an earlier one of that name.
--
-- KEYS[1] timetable of the shard (zset: name -> time)
-- KEYS[2] scheduled messages of the shard (hash: name -> 8 bytes that nobody else has, 8 of when it
--         was first due, 8 of its period, content)
--
-- ARGV[1] name    ARGV[2] time, in s    ARGV[3] message
-- ARGV[4] 1: one that is there and has the same period leaves this one its time

if ARGV[4] == '1' and redis.call('ZSCORE', KEYS[1], ARGV[1]) then
  local earlier = redis.call('HGET', KEYS[2], ARGV[1])
  if earlier and string.sub(earlier, 17, 24) == string.sub(ARGV[3], 17, 24) then
    redis.call('HSET', KEYS[2], ARGV[1], string.sub(ARGV[3], 1, 8) ..
               string.sub(earlier, 9, 16) .. string.sub(ARGV[3], 17))
    return 1
  end
end
redis.call('ZADD', KEYS[1], ARGV[2], ARGV[1])
redis.call('HSET', KEYS[2], ARGV[1], ARGV[3])
return 1
