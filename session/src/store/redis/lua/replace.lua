redis.call('DEL', KEYS[1])
store(KEYS[1])
return 1
