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
  expire(key, tonumber(grace_until) < tonumber(expires) and grace_until or expires)
end

