-- Remove the reader of a process that is dead: its messages, which count as expired, and members.
-- Changes that it has not fetched stay for a while: it may live after all, and then announces whom
-- it knows, but not those who were discarded. For others they are void: see changes.lua.
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
-- ARGV[2] process             ARGV[4] lifetime of figures and changes, in ms
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
redis.call('DEL', KEYS[1], KEYS[4], KEYS[6])
local last = redis.call('LINDEX', KEYS[5], -1)
if last then
  redis.call('RPUSH', KEYS[5], string.sub(last, 1, 8) .. string.char(2) .. ARGV[2])
  redis.call('PEXPIRE', KEYS[5], ARGV[4])
end
return memberships
