local version, retired, expires = head(KEYS[1])
if not version or retired then return false end
local expected = string.match(ARGV[1], 'v(%d+)')
if expected and expected ~= version then return redis.call('HGETALL', KEYS[1]) end
if would_end(ARGV[1]) then return -3 end
if unindex then
  unindex(KEYS[1])
elseif is_indexed_by and ARGV[2] then
  local indexed, i = redis.call('HGET', KEYS[1], '@i'), 2
  while indexed and i <= #ARGV do
    local what, name = string.sub(ARGV[i], 1, 1), string.sub(ARGV[i], 2)
    if is_indexed_by(indexed, name) then return -2 end
    i = i + (what == '=' and 2 or what == '+' and 3 or 1)
  end
end
local updated = apply(KEYS[1], expires, ARGV[1], 2)
if index then index(KEYS[1]) end
-- For a client with a local cache: the server reports the next change of a key that was read.
if KEYS[2] then redis.call('EXISTS', KEYS[2]) end
return updated
