-- Tell a reader's side of a change of memberships: which groups the channel is in, and, for the
-- process that expands group messages, the change itself, in its place among those messages.
--
-- KEYS[1] groups of the channel (set)
-- KEYS[2] memberships behind the reader (hash: GROUP/CHANNEL -> 8 bytes of deadline, content)
-- KEYS[3] changes of them (list: 8 bytes of version, 1 that tells whether it changed any, content)
-- KEYS[4] version of the reader's memberships (string)
-- KEYS[5] what wakes the process that reads (list)
--
-- ARGV[1] 'add' or 'discard'
-- ARGV[2] group               ARGV[3] lifetime of the keys, in ms
-- and only for a channel behind a process-specific reader:
-- ARGV[4] channel             ARGV[7] now, in s
-- ARGV[5] content             ARGV[8] 'wake': the process that reads is to hear of it at once;
-- ARGV[6] deadline, in s              'tell': when it asks; 'know': it knows already

if ARGV[1] == 'add' then
  redis.call('SADD', KEYS[1], ARGV[2])
  redis.call('PEXPIRE', KEYS[1], ARGV[3])
else
  redis.call('SREM', KEYS[1], ARGV[2])
end
if not ARGV[4] then
  return 1
end

local SAMPLE = 3 -- memberships looked at in each add: a third of the dead ones is the most there is

local function keep(field)
  local is_new = redis.call('HEXISTS', KEYS[2], field) == 0
  redis.call('HSET', KEYS[2], field, struct.pack('>d', ARGV[6]) .. ARGV[5])
  redis.call('PEXPIRE', KEYS[2], ARGV[3])
  local some = redis.call('HRANDFIELD', KEYS[2], SAMPLE, 'WITHVALUES')
  for i = 1, #some, 2 do
    if struct.unpack('>d', some[i + 1]) <= tonumber(ARGV[7]) then
      redis.call('HDEL', KEYS[2], some[i])
    end
  end
  return is_new and 1 or 0
end

local field = ARGV[2] .. '/' .. ARGV[4]
local is_real = ARGV[1] == 'add' and keep(field) or redis.call('HDEL', KEYS[2], field)
if ARGV[8] == 'know' then
  return 1
end
-- Begins with the time, so that versions go on growing when Redis has lost the last one.
local version = redis.call('GET', KEYS[4])
if not version then
  local time = redis.call('TIME')
  version = time[1] * 1e6 + time[2]
end
version = string.format('%.0f', version + 1)
redis.call('SET', KEYS[4], version, 'PX', ARGV[3])
redis.call('RPUSH', KEYS[3], struct.pack('>dB', version, is_real) .. ARGV[5])
redis.call('PEXPIRE', KEYS[3], ARGV[3])
if ARGV[8] == 'wake' and redis.call('EXISTS', KEYS[5]) == 0 then
  redis.call('RPUSH', KEYS[5], 1)
  redis.call('PEXPIRE', KEYS[5], ARGV[3])
end
return 1
