-- Say that a process lives and which readers are its own; learn of those that died.
--
-- KEYS[1] processes (zset: name -> time of death, unless it says that it lives)
-- KEYS[2] owners (hash: reader -> process)
--
-- ARGV[1] process
-- ARGV[2] seconds to live
-- ARGV[3] number of the readers that the process begins to read
-- ARGV[4...] these, then those that it reads already
--
-- Returns {whether the process was known, {reader of a dead process, its process, ...}, {reader that
-- another living process has begun to read, ...}}. The time is that of Redis: the clocks of the
-- machines need not agree.

local time = redis.call('TIME')
local now = time[1] + time[2] / 1e6
local death = redis.call('ZSCORE', KEYS[1], ARGV[1])
-- Whoever comes after its death may have been buried already.
local known = death and tonumber(death) > now
redis.call('ZADD', KEYS[1], now + ARGV[2], ARGV[1])
local taken = {}
for i = 4, #ARGV do
  local owner = i > 3 + ARGV[3] and redis.call('HGET', KEYS[2], ARGV[i])
  local theirs = owner and owner ~= ARGV[1] and redis.call('ZSCORE', KEYS[1], owner)
  if theirs and tonumber(theirs) > now then
    taken[#taken + 1] = ARGV[i]
  else
    redis.call('HSET', KEYS[2], ARGV[i], ARGV[1])
  end
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
return {known and 1 or 0, orphans, taken}
