-- Add what a process counted by itself to the figures of a channel and its shard.
--
-- KEYS[1] unused, so that the figures stand where other scripts have them: queue of the channel
-- KEYS[2] figures of the channel (hash)
-- KEYS[3] figures of the shard (hash)
--
-- ARGV[1] name of the figure  ARGV[3] now, in s
-- ARGV[2] number              ARGV[4] lifetime of the channel's figures, in ms

count(ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), ARGV[4])
return 1
