local next = redis.pcall('HGET', KEYS[1], '@r')
if type(next) == 'string' and next ~= '' then return next end
return redis.call('DEL', KEYS[1])
