-- Keep a value under a key, unless it has changed; or keep it no more.
--
-- KEYS[1] value (hash: version, deadline, content, owner, grace)
--
-- ARGV[1] now, in s                   ARGV[5] owner: a channel, as in keys, or ''
-- ARGV[2] version expected, or ''     ARGV[6] seconds that it outlives its owner
-- ARGV[3] deadline, in s              ARGV[7] lifetime of the key, in ms
-- ARGV[4] content, '' for no value
--
-- Returns 1 if it was saved, 0 if it has another version.

local found = redis.call('HMGET', KEYS[1], 'version', 'deadline')
local last = tonumber(found[1] or 0)
local version = last
if not found[2] or tonumber(found[2]) <= tonumber(ARGV[1]) then
  version = 0
end
if ARGV[2] ~= '' and tonumber(ARGV[2]) ~= version then
  return 0
end
redis.call('DEL', KEYS[1])
if ARGV[4] ~= '' then
  -- Begins with the time, so that no version is used again when the last one is gone.
  local time = redis.call('TIME')
  local following = math.max(last + 1, time[1] * 1e6 + time[2])
  redis.call('HSET', KEYS[1], 'version', string.format('%.0f', following), 'deadline', ARGV[3],
             'content', ARGV[4], 'owner', ARGV[5], 'grace', ARGV[6])
  redis.call('PEXPIRE', KEYS[1], ARGV[7])
end
return 1
