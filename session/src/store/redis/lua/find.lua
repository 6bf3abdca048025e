local now = tonumber(redis.call('TIME')[1])
redis.call('ZREMRANGEBYLEX', KEYS[1], '-', '(' .. bytes(now * 1000, 6))
return { now, redis.call('ZRANGEBYLEX', KEYS[1], ARGV[1], '+', 'LIMIT', 0, ARGV[2]) }
