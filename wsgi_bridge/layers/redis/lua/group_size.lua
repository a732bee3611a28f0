-- Tell how many members a group has, and how many readers receive for them; change nothing.
--
-- KEYS[1] members of the group (zset: channel -> deadline)
-- KEYS[2] readers of the group (hash: reader -> number of its members)
-- KEYS[3] data of members (hash: channel -> content)
--
-- ARGV[1] now, in s
--
-- Returns {members, readers}.

if redis.call('ZCOUNT', KEYS[1], '-inf', ARGV[1]) == 0 then
  return {redis.call('ZCARD', KEYS[1]), redis.call('HLEN', KEYS[2])}
end
-- Some memberships are over, and nobody has ended them yet.
local members = redis.call('ZRANGEBYSCORE', KEYS[1], '(' .. ARGV[1], '+inf')
local seen = {}
local readers = 0
for _, channel in ipairs(members) do
  local reader = reader_of(channel)
  if not seen[reader] then
    seen[reader] = true
    readers = readers + 1
  end
end
return {#members, readers}
