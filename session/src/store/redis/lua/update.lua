local version, retired, expires = head(KEYS[1])
if not version or retired then return false end
local expected = string.match(ARGV[1], 'v(%d+)')
if expected and expected ~= version then return redis.call('HGETALL', KEYS[1]) end
if unindex then unindex(KEYS[1]) end
local updated = apply(KEYS[1], expires, ARGV[1], 2)
if index then index(KEYS[1]) end
-- For a client that keeps the session: reading it lets the server tell when it changes again.
if KEYS[2] then redis.call('EXISTS', KEYS[2]) end
return updated
