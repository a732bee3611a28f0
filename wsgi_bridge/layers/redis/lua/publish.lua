-- Append a group message to the log of the group, and note that it is to be delivered.
--
-- KEYS[1] members of the group (zset: channel -> deadline)
-- KEYS[2] readers of the group (hash: reader -> number of its members)
-- KEYS[3] data of members (hash: channel -> content)
-- KEYS[4] messages of the log (list: 8 bytes of deadline, content)
-- KEYS[5] place of the log (hash: epoch, offset of the last message, until when it is remembered)
-- KEYS[6] what is not delivered yet (hash: offset -> 8 bytes of deadline, entry and readers packed)
--
-- ARGV[1] now, in s             ARGV[6] number of messages to keep
-- ARGV[2] epoch of a new log    ARGV[7] lifetime of the messages, in ms
-- ARGV[3] seconds, and          ARGV[8] deadline of the delivery, in s
-- ARGV[4] ms, that the place is remembered
-- ARGV[5] entry                 ARGV[9] lifetime of what is not delivered, in ms
--
-- Returns {epoch, offset, {reader, number of its members, ...}, {offset, entry and readers, ...}}:
-- the last ones were appended before and are to be delivered before, whoever sent them.

local now = tonumber(ARGV[1])
leave_when_due(ARGV[1])
local before = {}
local waiting = redis.call('HGETALL', KEYS[6])
for i = 1, #waiting, 2 do
  if struct.unpack('>d', waiting[i + 1]) <= now then
    redis.call('HDEL', KEYS[6], waiting[i])
  else
    before[#before + 1] = waiting[i]
    before[#before + 1] = string.sub(waiting[i + 1], 9)
  end
end
local epoch = open_log(KEYS[4], KEYS[5], now, ARGV[2], ARGV[3], ARGV[4])
local offset = append(KEYS[4], KEYS[5], ARGV[5], ARGV[6], ARGV[7])
local readers = redis.call('HGETALL', KEYS[2])
if #readers > 0 then
  local packed = cmsgpack.pack({ARGV[5], readers})
  redis.call('HSET', KEYS[6], offset, struct.pack('>d', ARGV[8]) .. packed)
  redis.call('PEXPIRE', KEYS[6], ARGV[9])
end
return {epoch, offset, readers, before}
