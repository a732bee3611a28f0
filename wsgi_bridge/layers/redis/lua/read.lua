-- Read the messages of a log after a place, if all of them are there.
--
-- KEYS[1] messages of the log (list: 8 bytes of deadline, content)
-- KEYS[2] place of the log (hash: epoch, offset of the last message, until when it is remembered)
--
-- ARGV[1] now, in s             ARGV[5] epoch
-- ARGV[2] epoch of a new log    ARGV[6] offset
-- ARGV[3] seconds, and          ARGV[7] number of messages, at most
-- ARGV[4] ms, that the place is remembered
--
-- Returns {epoch, offset, {entry, ...}}; without the last one if they are not.

local epoch, offset = open_log(KEYS[1], KEYS[2], tonumber(ARGV[1]), ARGV[2], ARGV[3], ARGV[4])
local missing = offset - ARGV[6]
local there = redis.call('LLEN', KEYS[1])
if epoch ~= ARGV[5] or missing < 0 or missing > there or missing > tonumber(ARGV[7]) then
  return {epoch, offset}
end
return {epoch, offset, redis.call('LRANGE', KEYS[1], there - missing, -1)}
