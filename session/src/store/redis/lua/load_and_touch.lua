local key = KEYS[1]
local retired, expires, about = unpack(redis.call('HMGET', key, '@r', '@e', '@c'), 1, 3)
local created = about and string.match(about, '^%d+')
if not retired and created and tonumber(expires) then
  -- The session's own limits go before those in ARGV.
  local idle = tonumber(string.match(about, ' m(%d+)') or ARGV[2])
  local lifetime = tonumber(string.match(about, ' d(%d+)') or ARGV[3])
  local at = math.min(ARGV[1] + idle, created + lifetime)
  local extension = at - expires
  local least = math.min(tonumber(ARGV[4] or math.floor(idle / 60)), idle / 2)
  if extension > 0 and extension >= least then
    -- A server that is full or a replica refuses it. The session can be read all the same, and the
    -- client tries to extend it later.
    pcall(expire, key, string.format('%.0f', at))
  end
end
return redis.call('HGETALL', key)
