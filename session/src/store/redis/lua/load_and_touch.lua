local key = KEYS[1]
local m = redis.call('HMGET', key, '@r', '@e', '@c', '@m', '@a')
if not m[1] and m[2] and m[3] then
  local idle = tonumber(m[4] or ARGV[2])
  local at = math.min(tonumber(ARGV[1]) + idle, tonumber(m[3]) + tonumber(m[5] or ARGV[3]))
  local extension, least = at - tonumber(m[2]), math.min(tonumber(ARGV[4] or math.floor(idle / 60)), idle / 2)
  if extension > 0 and extension >= least then
    -- A server that is full or a replica refuses it. The session can be read all the same, and the
    -- client tries to extend it later.
    pcall(expire, key, string.format('%.0f', at))
  end
end
return redis.call('HGETALL', key)
