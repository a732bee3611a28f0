-- Tell a reader's side of a change of memberships: which groups the channel is in, and, for the
-- process that expands group messages, the change itself, in its place among those messages.
--
-- KEYS[1] groups of the channel (set)
-- KEYS[2] groups of the reader (set; maybe too many, never too few)
-- KEYS[3] changes that the process has not fetched (list: 8 bytes of version, content)
-- KEYS[4] version of the reader's memberships (string)
--
-- ARGV[1] 'add' or 'discard'
-- ARGV[2] group
-- ARGV[3] content of the change, or '' for a channel that no process expands
-- ARGV[4] lifetime of the keys, in ms

if ARGV[1] == 'add' then
  for i = 1, 2 do
    redis.call('SADD', KEYS[i], ARGV[2])
    redis.call('PEXPIRE', KEYS[i], ARGV[4])
  end
else
  redis.call('SREM', KEYS[1], ARGV[2])
end
if ARGV[3] ~= '' then
  -- Begins with the time, so that versions go on growing when Redis has lost the last one.
  local version = redis.call('GET', KEYS[4])
  if not version then
    local time = redis.call('TIME')
    version = time[1] * 1e6 + time[2]
  end
  version = string.format('%.0f', version + 1)
  redis.call('SET', KEYS[4], version, 'PX', ARGV[4])
  redis.call('RPUSH', KEYS[3], struct.pack('>d', version) .. ARGV[3])
  redis.call('PEXPIRE', KEYS[3], ARGV[4])
end
return 1
