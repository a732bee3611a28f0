-- Take up to a number of entries off several queues, with an equal share for each.
--
-- KEYS[...] queues (lists of entries), the one served longest ago first
--
-- ARGV[1] number of entries, at most
--
-- Returns {position in KEYS, {entry, ...}, position, {entry, ...}, ...}.

local room = tonumber(ARGV[1])
local taken = {}
local ready = {}
for i = 1, #KEYS do
  ready[i] = i
end
while room > 0 and #ready > 0 do
  local share = math.max(1, math.floor(room / #ready))
  local still = {}
  for _, i in ipairs(ready) do
    local wanted = math.min(share, room)
    local entries = wanted > 0 and redis.call('LPOP', KEYS[i], wanted) or nil
    if entries then
      taken[#taken + 1] = i
      taken[#taken + 1] = entries
      room = room - #entries
      if #entries == wanted then
        still[#still + 1] = i
      end
    end
  end
  ready = still
end
return taken
