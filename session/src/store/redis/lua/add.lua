local key, name, by = KEYS[1], ARGV[1], ARGV[2]
local version, retired, indexed = unpack(redis.call('HMGET', key, '@v', '@r', '@i'), 1, 3)
if not version or retired then return false end
if indexed and is_indexed_by(indexed, name) then return -2 end
-- First, because a damaged version is an error, and then nothing must have changed.
version = redis.call('HINCRBY', key, '@v', 1)
-- Redis adds whole numbers of 64 bits, takes an absent field for 0, and refuses anything else.
if type(redis.pcall('HINCRBY', key, name, by)) == 'table' then
  redis.call('HSET', key, name, numbers()(redis.call('HGET', key, name), by, by))
end
-- For a client with a local cache: the server reports the next change of a key that was read.
if KEYS[2] then redis.call('EXISTS', KEYS[2]) end
return version
