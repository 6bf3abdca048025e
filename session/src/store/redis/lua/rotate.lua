local old, new = KEYS[1], KEYS[2]
local version, retired, expires = head(old)
if not version or retired then return false end
local expected = string.match(ARGV[1], 'v(%d+)')
if expected and expected ~= version then return redis.call('HGETALL', old) end
if redis.call('COPY', old, new) == 0 then return -1 end
local moved = apply(new, expires, ARGV[1], 4)
index(new)
unindex(old)
retire(old, expires, ARGV[2], ARGV[3])
return moved
