-- Say that a process lives and which readers are its own; learn of those that died.
--
-- KEYS[1] processes (zset: name -> time of death, unless it says that it lives)
-- KEYS[2] owners (hash: reader -> process)
--
-- ARGV[1] process
-- ARGV[2] seconds to live
-- ARGV[3...] readers that the process claims
--
-- Returns {whether the process was known, {reader of a dead process, its process, ...}}. The time is
-- that of Redis: the clocks of the machines need not agree.

local time = redis.call('TIME')
local now = time[1] + time[2] / 1e6
local death = redis.call('ZSCORE', KEYS[1], ARGV[1])
-- Whoever comes after its death may have been buried already.
local known = death and tonumber(death) > now
redis.call('ZADD', KEYS[1], now + ARGV[2], ARGV[1])
for i = 3, #ARGV do
  redis.call('HSET', KEYS[2], ARGV[i], ARGV[1])
end
local orphans = {}
local dead = {}
for _, process in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now)) do
  dead[process] = 0
end
if next(dead) then
  local owners = redis.call('HGETALL', KEYS[2])
  for i = 1, #owners, 2 do
    local process = owners[i + 1]
    if dead[process] then
      dead[process] = dead[process] + 1
      orphans[#orphans + 1] = owners[i]
      orphans[#orphans + 1] = process
    end
  end
  for process, readers in pairs(dead) do
    if readers == 0 then
      redis.call('ZREM', KEYS[1], process)
    end
  end
end
return {known and 1 or 0, orphans}
