-- Tell what is due, the earliest first, and change nothing.
--
-- KEYS[1] timetable of the shard (zset: name -> time)
-- KEYS[2] scheduled messages of the shard (hash: name -> 8 bytes that nobody else has, content)
--
-- ARGV[1] now, in s
-- ARGV[2] number, at most
--
-- Returns {name, time, message, name, ...}.

local due = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', ARGV[1], 'WITHSCORES',
                       'LIMIT', 0, ARGV[2])
local found = {}
for i = 1, #due, 2 do
  found[#found + 1] = due[i]
  found[#found + 1] = due[i + 1]
  found[#found + 1] = redis.call('HGET', KEYS[2], due[i]) or ''
end
return found
