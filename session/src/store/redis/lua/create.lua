if redis.call('EXISTS', KEYS[1]) == 1 then return 0 end
if has_ended(ARGV[2]) then return -1 end
store(KEYS[1])
if index then index(KEYS[1]) end
return time()
