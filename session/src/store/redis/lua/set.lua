local version, retired, mark = unpack(redis.call('HMGET', KEYS[1], '@v', '@r', '@i'), 1, 3)
if not version or retired then return false end
for i = 1, mark and #ARGV or 0, 2 do
  if is_known_by(mark, ARGV[i]) then return -2 end
end
-- Whole as long as it is below 2^53, which no session reaches.
version = version + 1
redis.call('HSET', KEYS[1], '@v', string.format('%.0f', version), unpack(ARGV))
-- For a client that keeps the session: reading it lets the server tell when it changes again.
if KEYS[2] then redis.call('EXISTS', KEYS[2]) end
return version
