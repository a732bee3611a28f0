-- Remove the reader of a process that is dead: its messages, which count as expired, and changes.
--
-- KEYS[1] queue of the reader (list of entries)
-- KEYS[2] figures of the reader (hash)
-- KEYS[3] figures of the shard (hash)
-- KEYS[4] changes that the process has not fetched (list)
-- KEYS[5] groups of the reader (set)
-- KEYS[6] processes (zset: name -> time of death, unless it says that it lives)
-- KEYS[7] owners (hash: reader -> process)
--
-- ARGV[1] reader              ARGV[3] now, in s, by the clock of the layer
-- ARGV[2] process             ARGV[4] lifetime of figures, in ms
--
-- Returns the groups that the reader may have members in, or nothing if the process lives after all.

local time = redis.call('TIME')
local death = redis.call('ZSCORE', KEYS[6], ARGV[2])
if death and tonumber(death) > time[1] + time[2] / 1e6 then
  return {}
end
if redis.call('HGET', KEYS[7], ARGV[1]) ~= ARGV[2] then
  return {}
end
redis.call('HDEL', KEYS[7], ARGV[1])
local lost = redis.call('LLEN', KEYS[1])
if lost > 0 then
  count('expired', lost, tonumber(ARGV[3]), ARGV[4])
end
local groups = redis.call('SMEMBERS', KEYS[5])
redis.call('DEL', KEYS[1], KEYS[4], KEYS[5])
return groups
