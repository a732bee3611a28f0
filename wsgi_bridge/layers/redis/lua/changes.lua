-- Fetch the changes of a reader's memberships.
--
-- KEYS[1] changes that the process has not fetched (list: 8 bytes of version, content)
-- KEYS[2] queue of the reader (list of entries)
--
-- Returns {messages in the queue, {change, ...}}.

local changes = redis.call('LRANGE', KEYS[1], 0, -1)
redis.call('DEL', KEYS[1])
return {redis.call('LLEN', KEYS[2]), changes}
