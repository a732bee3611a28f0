-- Put a scheduled message on its channel, and take it off the timetable or move it on, in one step:
-- whoever else releases it at the same time finds it gone.
--
-- KEYS[1] queue of the channel (list of entries)
-- KEYS[2] figures of the channel (hash)
-- KEYS[3] figures of the shard (hash)
-- KEYS[4] index of the shard (zset: channel -> deadline of its oldest message, or earlier)
-- KEYS[5] timetable of the shard (zset: name -> time)
-- KEYS[6] scheduled messages of the shard (hash: name -> 8 bytes that nobody else has, content)
--
-- ARGV[1] now, in s           ARGV[7] name
-- ARGV[2] capacity            ARGV[8] time that it was found due at
-- ARGV[3] deadline, in s      ARGV[9] the 8 bytes of it
-- ARGV[4] lifetime, in ms     ARGV[10] time that it is due again at, or ''
-- ARGV[5] channel, as in keys ARGV[11] time that it is tried again at if there is no room
-- ARGV[6] entry
--
-- Returns {1} put, {0} gone, {-1} no room; where there was none at first, expired entries as well.

local at = redis.call('ZSCORE', KEYS[5], ARGV[7])
local planned = redis.call('HGET', KEYS[6], ARGV[7])
if not at or tonumber(at) ~= tonumber(ARGV[8]) or not planned
   or string.sub(planned, 1, 8) ~= ARGV[9] then
  return {0}
end
local now = tonumber(ARGV[1])
local size = redis.call('LLEN', KEYS[1])
local expired = {}
if size >= tonumber(ARGV[2]) then
  expired = drop_expired(now, ARGV[4])
  size = size - #expired
end
if size >= tonumber(ARGV[2]) then
  count('full', 1, now, ARGV[4])
  redis.call('ZADD', KEYS[5], ARGV[11], ARGV[7])
  return {-1, expired}
end
if size == 0 then
  redis.call('ZADD', KEYS[4], ARGV[3], ARGV[5])
end
redis.call('RPUSH', KEYS[1], ARGV[6])
redis.call('PEXPIRE', KEYS[1], ARGV[4])
count('sent', 1, now, ARGV[4])
if ARGV[10] == '' then
  redis.call('ZREM', KEYS[5], ARGV[7])
  redis.call('HDEL', KEYS[6], ARGV[7])
else
  redis.call('ZADD', KEYS[5], ARGV[10], ARGV[7])
end
return {1, expired}
