-- Note that a channel owns a value.
--
-- KEYS[1] values that the channel owns (set)
-- KEYS[2] channels behind its reader that own any (set)
--
-- ARGV[1] value, as in keys        ARGV[3] lifetime of the value, in ms
-- ARGV[2] channel, as in keys

redis.call('SADD', KEYS[1], ARGV[1])
redis.call('SADD', KEYS[2], ARGV[2])
for i = 1, 2 do
  if redis.call('PTTL', KEYS[i]) < tonumber(ARGV[3]) then
    redis.call('PEXPIRE', KEYS[i], ARGV[3])
  end
end
return 1
