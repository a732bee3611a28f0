-- Shared by other scripts: a log, in two keys that they are given.
--
-- log    its messages (list: 8 bytes of deadline, content)
-- place  its place (hash: epoch, offset of the last message, until when it is remembered)

-- `epoch` is that of a log that is not there yet; `memory` in s, `lifetime` in ms.
local function open_log(log, place, now, epoch, memory, lifetime)
  local found = redis.call('HMGET', place, 'epoch', 'offset', 'until')
  local offset = tonumber(found[2] or 0)
  if not found[1] or tonumber(found[3]) <= now then
    redis.call('DEL', log)
    offset = 0
    redis.call('HSET', place, 'epoch', epoch, 'offset', 0)
  else
    epoch = found[1]
  end
  redis.call('HSET', place, 'until', string.format('%.17g', now + memory))
  redis.call('PEXPIRE', place, lifetime)
  while true do
    local head = redis.call('LINDEX', log, 0)
    if not head or struct.unpack('>d', head) > now then
      break
    end
    redis.call('LPOP', log)
  end
  return epoch, offset
end

-- `lifetime` is of the messages, in ms.
local function append(log, place, entry, keep, lifetime)
  redis.call('RPUSH', log, entry)
  redis.call('LTRIM', log, -keep, -1)
  if redis.call('PTTL', log) < tonumber(lifetime) then
    redis.call('PEXPIRE', log, lifetime)
  end
  return redis.call('HINCRBY', place, 'offset', 1)
end
