-- Keeps under the key what requests with the old id may read until the grace period ends.
local function retire(key, expires, grace_until, successor)
  if string.sub(successor, 1, 1) == '~' then
    local kept = redis.call('HMGET', key, '@c', '@v', '@m', '@p', '@a')
    redis.call('DEL', key)
    redis.call('HSET', key, '@c', kept[1], '@v', kept[2])
    if kept[3] then redis.call('HSET', key, '@m', kept[3]) end
    if kept[4] then redis.call('HSET', key, '@p', kept[4]) end
    if kept[5] then redis.call('HSET', key, '@a', kept[5]) end
  end
  redis.call('HSET', key, '@r', successor)
  local at = tonumber(grace_until) < tonumber(expires) and grace_until or expires
  if tonumber(at) > time() then return expire(key, at) end
  -- The client's clock is behind, and Redis would delete the key at once. The client still sees by
  -- `@e` when the grace period is over.
  redis.call('HSET', key, '@e', at)
  redis.call('PEXPIREAT', key, string.format('%.0f', time() + 10000))
end

