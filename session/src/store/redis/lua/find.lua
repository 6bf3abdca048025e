local now = tonumber(redis.call('TIME')[1])
return { now, redis.call('ZRANGEBYLEX', KEYS[1], ARGV[1], '+', 'LIMIT', 0, ARGV[2]) }
