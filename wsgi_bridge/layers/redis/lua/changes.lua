-- Fetch the changes of a reader's memberships that a process does not know, or all memberships.
--
-- KEYS[1] memberships behind the reader (hash: GROUP/CHANNEL -> 8 bytes of deadline, content)
-- KEYS[2] changes of them (list: 8 bytes of version, 1 that tells whether it changed any, content;
--         or version, 2, process: it was buried, and what is before this is for nobody else)
-- KEYS[3] version of the reader's memberships (string)
-- KEYS[4] queue of the reader (list of entries)
-- KEYS[5] owners (hash: reader -> process)
--
-- ARGV[1] reader              ARGV[3] version that the process knows, or '' if it knows nothing:
-- ARGV[2] process                     then it gets the memberships as well
--
-- What the owner knows is dropped; nothing else is, so that a reply that is lost can be asked for
-- again. Returns {messages in the queue, version, {change, ...}, {membership, ...}}.

local BURIED = 2
local known = tonumber(ARGV[3]) or 0
local fresh = {}
local old = 0
for _, change in ipairs(redis.call('LRANGE', KEYS[2], 0, -1)) do
  local version, kind = struct.unpack('>dB', change)
  if version <= known then
    old = old + 1
  elseif kind ~= BURIED then
    fresh[#fresh + 1] = change
  elseif string.sub(change, 10) ~= ARGV[2] then
    fresh = {}
  end
end
if old > 0 and redis.call('HGET', KEYS[5], ARGV[1]) == ARGV[2] then
  redis.call('LTRIM', KEYS[2], old, -1)
end
local members = ARGV[3] == '' and redis.call('HVALS', KEYS[1]) or {}
return {redis.call('LLEN', KEYS[4]), redis.call('GET', KEYS[3]) or '0', fresh, members}
