-- Put messages on a channel, as many of them as it has room for.
--
-- KEYS[1] queue of the channel (list of entries)
-- KEYS[2] figures of the channel (hash)
-- KEYS[3] figures of the shard (hash)
-- KEYS[4] index of the shard (zset: channel -> deadline of its oldest message, or earlier)
--
-- ARGV[1] now, in s           ARGV[4] lifetime of the keys, in ms
-- ARGV[2] capacity            ARGV[5] channel, as the index has it
-- ARGV[3] deadline, in s      ARGV[6...] entries
--
-- Returns how many were put, always the first ones; where there was no room at once,
-- {how many, expired entries that made room}.

local FIRST = 6
local now = tonumber(ARGV[1])
local offered = #ARGV - FIRST + 1
local size = redis.call('LLEN', KEYS[1])
local room = tonumber(ARGV[2]) - size
local expired = nil
if room < offered then
  expired = drop_expired(now, ARGV[4])
  size = size - #expired
  room = math.max(0, room + #expired)
end
local put = math.min(room, offered)
if put > 0 then
  if size == 0 then
    redis.call('ZADD', KEYS[4], ARGV[3], ARGV[5])
  end
  for i = FIRST, FIRST + put - 1 do
    redis.call('RPUSH', KEYS[1], ARGV[i])
  end
  redis.call('PEXPIRE', KEYS[1], ARGV[4])
  count('sent', put, now, ARGV[4])
end
if put < offered then
  count('full', offered - put, now, ARGV[4])
end
return expired and {put, expired} or put
