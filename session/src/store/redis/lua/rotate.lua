local old, new = KEYS[1], KEYS[2]
local version, retired, expires = head(old)
if retired and (retired == ARGV[3] or retired == ARGV[4]) then
  -- This was done before, and the reply may have been lost.
  local moved, again = head(new)
  return moved and not again and version + 1
end
if not version or retired then return false end
local expected = string.match(ARGV[1], 'v(%d+)')
if expected and expected ~= version then return redis.call('HGETALL', old) end
if redis.call('COPY', old, new) == 0 then return -1 end
local moved = apply(new, expires, ARGV[1], 5)
index(new)
unindex(old)
retire(old, expires, ARGV[2], ARGV[3])
return moved
