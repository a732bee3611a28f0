-- Append a message to a log.
--
-- KEYS[1] messages of the log (list: 8 bytes of deadline, content)
-- KEYS[2] place of the log (hash: epoch, offset of the last message, until when it is remembered)
--
-- ARGV[1] now, in s             ARGV[5] entry
-- ARGV[2] epoch of a new log    ARGV[6] number of messages to keep
-- ARGV[3] seconds, and          ARGV[7] lifetime of the messages, in ms
-- ARGV[4] ms, that the place is remembered
--
-- Returns {epoch, offset}.

local epoch = open_log(KEYS[1], KEYS[2], tonumber(ARGV[1]), ARGV[2], ARGV[3], ARGV[4])
return {epoch, append(KEYS[1], KEYS[2], ARGV[5], ARGV[6], ARGV[7])}
