-- Shared by other scripts: drop the expired messages at the head of a queue, and return them.
--
-- KEYS[1] queue of the channel (list of entries)
--
-- An entry is a byte for its kind, 8 bytes for its deadline (big-endian double), and a content.

local function drop_expired(now, lifetime)
  local expired = {}
  while true do
    local head = redis.call('LINDEX', KEYS[1], 0)
    if not head or struct.unpack('>d', head, 2) > now then
      break
    end
    expired[#expired + 1] = redis.call('LPOP', KEYS[1])
  end
  if #expired > 0 then
    count('expired', #expired, now, lifetime)
  end
  return expired
end
