-- Shared by other scripts: count events for a channel and for its shard, by the second.
--
-- KEYS[2] figures of the channel (hash)
-- KEYS[3] figures of the shard (hash)
--
-- A hash has NAME (a total) and NAME:SECOND (not yet in the total, and what rates are taken of).

local WINDOW = 8 -- seconds that are kept apart; more than rates are taken over

local function fold(key, name, second)
  local fields = redis.call('HGETALL', key)
  for i = 1, #fields, 2 do
    local at = string.match(fields[i], '^' .. name .. ':(%d+)$')
    if at and tonumber(at) < second - WINDOW then
      redis.call('HDEL', key, fields[i])
      redis.call('HINCRBY', key, name, fields[i + 1])
    end
  end
end

-- `lifetime` is of the channel's figures, in ms; those of the shard stay for a week.
local function count(name, number, now, lifetime)
  local second = math.floor(now)
  local field = string.format('%s:%d', name, second)
  for i = 2, 3 do
    if redis.call('HINCRBY', KEYS[i], field, number) == number then
      -- The first one of this second.
      fold(KEYS[i], name, second)
      redis.call('PEXPIRE', KEYS[i], i == 2 and lifetime or 604800000)
    end
  end
end
