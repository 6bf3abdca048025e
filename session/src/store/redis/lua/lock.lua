local owner = redis.call('HGET', KEYS[1], 'owner')
-- The reply to the first attempt may have been lost.
if owner == ARGV[1] then return 1 end
if owner then return 0 end
local now = redis.call('TIME')
redis.call('HSET', KEYS[1], 'owner', ARGV[1])
local at = now[1] * 1000 + math.floor(now[2] / 1000) + ARGV[2]
redis.call('PEXPIREAT', KEYS[1], string.format('%.0f', at))
return 1
