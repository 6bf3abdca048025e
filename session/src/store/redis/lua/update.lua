local version, retired, expires = head(KEYS[1])
if not version or retired then return false end
local expected = string.match(ARGV[1], 'v(%d+)')
if expected and expected ~= version then return redis.call('HGETALL', KEYS[1]) end
return apply(KEYS[1], expires, ARGV[1], 2)
