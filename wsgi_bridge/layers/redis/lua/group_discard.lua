-- End the memberships of channels, or of all channels of one reader, in a group.
--
-- KEYS[1] members of the group (zset: channel -> deadline)
-- KEYS[2] readers of the group (hash: reader -> number of its members)
--
-- ARGV[1] 'channels' or 'reader'
-- ARGV[2...] channels, or one reader

if ARGV[1] == 'channels' then
  for i = 2, #ARGV do
    leave_group(ARGV[i])
  end
elseif redis.call('HDEL', KEYS[2], ARGV[2]) == 1 then
  for _, channel in ipairs(redis.call('ZRANGE', KEYS[1], 0, -1)) do
    if reader_of(channel) == ARGV[2] then
      redis.call('ZREM', KEYS[1], channel)
    end
  end
end
return 1
