redis.call('DEL', KEYS[1])
store(KEYS[1], 2)
expire(KEYS[1], ARGV[1])
return 1
