local key, there = KEYS[1], 0
repeat
  -- Whatever is under the key goes, even if it never was a session.
  local next = redis.pcall('HGET', key, '@r')
  unindex(key)
  if redis.call('DEL', key) == 1 then there = 1 end
  key = type(next) == 'string' and next ~= '' and ARGV[1] .. next
until not key
return there
