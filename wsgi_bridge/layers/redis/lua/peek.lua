-- Tell what waits in a queue, and change nothing: whoever looks may have another clock than the site.
--
-- KEYS[1] queue of the channel (list of entries)
--
-- ARGV[1] now, in s
--
-- Returns {messages that wait, deadline of the oldest one as 8 bytes or "", expired ones before it}.

local now = tonumber(ARGV[1])
local size = redis.call('LLEN', KEYS[1])
local expired = 0
while expired < size do
  local entry = redis.call('LINDEX', KEYS[1], expired)
  if struct.unpack('>d', entry, 2) > now then
    return {size - expired, string.sub(entry, 2, 9), expired}
  end
  expired = expired + 1
end
return {0, '', expired}
