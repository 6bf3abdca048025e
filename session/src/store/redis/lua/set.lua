local version, retired, indexed = unpack(redis.call('HMGET', KEYS[1], '@v', '@r', '@i'), 1, 3)
if not version or retired then return false end
for i = 1, indexed and #ARGV or 0, 2 do
  if is_indexed_by(indexed, ARGV[i]) then return -2 end
end
-- Exact below 2^53, which no session reaches.
version = version + 1
redis.call('HSET', KEYS[1], '@v', string.format('%.0f', version), unpack(ARGV))
-- For a client with a local cache: the server reports the next change of a key that was read.
if KEYS[2] then redis.call('EXISTS', KEYS[2]) end
return version
