-- Put a group message on the channel of one of the group's readers; count it as lost if that is at
-- capacity. Nothing is put while there are expired messages: who let them expire leaves first.
--
-- KEYS[1] queue of the reader (list of entries)
-- KEYS[2] figures of the reader (hash)
-- KEYS[3] figures of the shard (hash)
-- KEYS[4] index of the shard (zset: channel -> deadline of its oldest message, or earlier)
-- KEYS[5] version of the reader's memberships (string)
--
-- ARGV[1] now, in s           ARGV[5] lifetime of the keys, in ms
-- ARGV[2] kind and deadline   ARGV[6] channel, as the index has it
-- ARGV[3] content             ARGV[7] members behind the reader
-- ARGV[4] capacity            ARGV[8] deadline, in s
--
-- Returns {1} put, {0} lost, {2} lost as the first of a burst, {-1, expired entries}.

local now = tonumber(ARGV[1])
local expired = drop_expired(now, ARGV[5])
if #expired > 0 then
  return {-1, expired}
end
local size = redis.call('LLEN', KEYS[1])
if size >= tonumber(ARGV[4]) then
  count('lost', tonumber(ARGV[7]), now, ARGV[5])
  if redis.call('HSETNX', KEYS[2], 'losing', 1) == 1 then
    return {2}
  end
  return {0}
end
redis.call('HDEL', KEYS[2], 'losing')
if size == 0 then
  redis.call('ZADD', KEYS[4], ARGV[8], ARGV[6])
end
local head = ARGV[2]
if string.sub(head, 1, 1) == 'g' then
  -- So that the process expands it to those who were members at this moment.
  head = head .. struct.pack('>d', redis.call('GET', KEYS[5]) or 0)
end
redis.call('RPUSH', KEYS[1], head .. ARGV[3])
redis.call('PEXPIRE', KEYS[1], ARGV[5])
count('sent', 1, now, ARGV[5])
return {1}
