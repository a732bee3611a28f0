-- Take on the wills of a reader whose process is dead, for some seconds: one of those who noticed
-- executes them, and another one if that dies as well.
--
-- KEYS[1] processes (zset: name -> time of death, unless it says that it lives)
-- KEYS[2] owners (hash: reader -> process)
-- KEYS[3] wills of the channels behind the reader (hash: channel -> content)
-- KEYS[4] channels behind the reader that own values (set)
-- KEYS[5] who executes (string)
--
-- ARGV[1] reader              ARGV[3] process that asks
-- ARGV[2] process             ARGV[4] ms that it may take
--
-- Returns {process and time of its death, {channel, will, ...}, {channel, ...}}; 0 if the process
-- lives after all, or the reader is another's by now, or another process is at it.

local time = redis.call('TIME')
local death = redis.call('ZSCORE', KEYS[1], ARGV[2])
if death and tonumber(death) > time[1] + time[2] / 1e6 then
  return 0
end
if redis.call('HGET', KEYS[2], ARGV[1]) ~= ARGV[2] then
  return 0
end
local executor = redis.call('GET', KEYS[5])
if executor and executor ~= ARGV[3] then
  return 0
end
redis.call('SET', KEYS[5], ARGV[3], 'PX', ARGV[4])
return {ARGV[2] .. ' ' .. (death or ''), redis.call('HGETALL', KEYS[3]), redis.call('SMEMBERS', KEYS[4])}
