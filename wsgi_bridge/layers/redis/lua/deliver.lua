-- Put messages of a log on the channel of one of the group's readers, those that are not there yet.
-- Whoever delivers brings all that comes before, so that their order is that of the log. What finds
-- the channel at capacity is counted as lost. Nothing is put while there are expired messages: who
-- let them expire leaves first.
--
-- KEYS[1] queue of the reader (list of entries)
-- KEYS[2] figures of the reader (hash)
-- KEYS[3] figures of the shard (hash)
-- KEYS[4] index of the shard (zset: channel -> deadline of its oldest message, or earlier)
-- KEYS[5] version of the reader's memberships (string)
-- KEYS[6] what was delivered to the reader last (hash: group -> epoch:offset)
--
-- ARGV[1] now, in s           ARGV[6] channel, as the index has it
-- ARGV[2] kind and deadline   ARGV[7] members behind the reader
-- ARGV[3] deadline, in s      ARGV[8] group
-- ARGV[4] capacity            ARGV[9] epoch
-- ARGV[5] lifetime, in ms     ARGV[10] lifetime of KEYS[6], in ms
-- ARGV[11...] offset, content, offset, ...
--
-- Returns {1} put, {0} lost, {2} lost as the first of a burst, {-1, expired entries}.

local now = tonumber(ARGV[1])
local expired = drop_expired(now, ARGV[5])
if #expired > 0 then
  return {-1, expired}
end
local last = 0
local epoch, offset = string.match(redis.call('HGET', KEYS[6], ARGV[8]) or '', '^(.*):(%d+)$')
if epoch == ARGV[9] then
  last = tonumber(offset)
end
local head = ARGV[2]
if string.sub(head, 1, 1) == 'g' then
  head = head .. struct.pack('>d', redis.call('GET', KEYS[5]) or 0)
end
local state = 1
for i = 11, #ARGV, 2 do
  if tonumber(ARGV[i]) > last then
    last = tonumber(ARGV[i])
    local size = redis.call('LLEN', KEYS[1])
    if size >= tonumber(ARGV[4]) then
      count('lost', tonumber(ARGV[7]), now, ARGV[5])
      state = redis.call('HSETNX', KEYS[2], 'losing', 1) == 1 and 2 or math.min(state, 0)
    else
      if size == 0 then
        redis.call('ZADD', KEYS[4], ARGV[3], ARGV[6])
      end
      redis.call('HDEL', KEYS[2], 'losing')
      redis.call('RPUSH', KEYS[1], head .. ARGV[i + 1])
      redis.call('PEXPIRE', KEYS[1], ARGV[5])
      count('sent', 1, now, ARGV[5])
    end
  end
end
redis.call('HSET', KEYS[6], ARGV[8], string.format('%s:%.0f', ARGV[9], last))
redis.call('PEXPIRE', KEYS[6], ARGV[10])
return {state}
