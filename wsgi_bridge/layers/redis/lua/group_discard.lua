-- End the memberships of channels in a group.
--
-- KEYS[1] members of the group (zset: channel -> deadline)
-- KEYS[2] readers of the group (hash: reader -> number of its members)
-- KEYS[3] data of members (hash: channel -> content)
--
-- ARGV[1] deadline up to which memberships are ended: later ones were made since
-- ARGV[2...] channels

for i = 2, #ARGV do
  local deadline = redis.call('ZSCORE', KEYS[1], ARGV[i])
  if deadline and tonumber(deadline) <= tonumber(ARGV[1]) then
    leave_group(ARGV[i])
  end
end
return 1
