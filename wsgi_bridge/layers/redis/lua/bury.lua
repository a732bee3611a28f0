-- Remove the reader of a process that is dead: its messages, which count as expired, and members.
--
-- KEYS[1] queue of the reader (list of entries)
-- KEYS[2] figures of the reader (hash)
-- KEYS[3] figures of the shard (hash)
-- KEYS[4] memberships behind the reader (hash: GROUP/CHANNEL -> 8 bytes of deadline, content)
-- KEYS[5] changes of them (list)
-- KEYS[6] what wakes the process that reads (list)
-- KEYS[7] processes (zset: name -> time of death, unless it says that it lives)
-- KEYS[8] owners (hash: reader -> process)
--
-- ARGV[1] reader              ARGV[3] now, in s, by the clock of the layer
-- ARGV[2] process             ARGV[4] lifetime of figures, in ms
--
-- Returns the memberships, as in KEYS[4], or nothing if the process lives after all, or the reader
-- is another's by now.

local time = redis.call('TIME')
local death = redis.call('ZSCORE', KEYS[7], ARGV[2])
if death and tonumber(death) > time[1] + time[2] / 1e6 then
  return {}
end
if redis.call('HGET', KEYS[8], ARGV[1]) ~= ARGV[2] then
  return {}
end
redis.call('HDEL', KEYS[8], ARGV[1])
local lost = redis.call('LLEN', KEYS[1])
if lost > 0 then
  count('expired', lost, tonumber(ARGV[3]), ARGV[4])
end
local memberships = redis.call('HGETALL', KEYS[4])
redis.call('DEL', KEYS[1], KEYS[4], KEYS[5], KEYS[6])
return memberships
