-- Shared by other scripts: end a membership, and forget the reader with its last member.
--
-- KEYS[1] members of the group (zset: channel -> deadline)
-- KEYS[2] readers of the group (hash: reader -> number of its members)
-- KEYS[3] data of members (hash: channel -> content)

local function reader_of(channel)
  return string.match(channel, '^[^!]*!') or channel
end

local function leave_group(channel)
  if redis.call('ZREM', KEYS[1], channel) == 1 then
    redis.call('HDEL', KEYS[3], channel)
    local reader = reader_of(channel)
    if redis.call('HINCRBY', KEYS[2], reader, -1) <= 0 then
      redis.call('HDEL', KEYS[2], reader)
    end
  end
end

local function leave_when_due(now)
  for _, channel in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now)) do
    leave_group(channel)
  end
end
