-- Keeps under the key what requests with the old id may read until the grace period ends.
local function retire(key, expires, grace_until, successor)
  if string.sub(successor, 1, 1) == '~' then
    local version, created = unpack(redis.call('HMGET', key, '@v', '@c'), 1, 2)
    redis.call('DEL', key)
    redis.call('HSET', key, '@v', version, '@c', created)
  end
  redis.call('HSET', key, '@r', successor)
  local at = tonumber(grace_until) < tonumber(expires) and grace_until or expires
  if tonumber(at) > time() then return expire(key, at) end
  -- The client's clock is behind, and Redis would delete the key at once. The client still sees by
  -- `@e` when the grace period is over.
  redis.call('HSET', key, '@e', at)
  redis.call('PEXPIREAT', key, string.format('%.0f', time() + 10000))
end

