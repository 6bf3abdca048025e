local key, there, successors = KEYS[1], 0, {}
repeat
  -- Whatever is under the key goes, even if it never was a session.
  local next = redis.pcall('HGET', key, '@r')
  unindex(key)
  if redis.call('DEL', key) == 1 then there = 1 end
  key = nil
  if type(next) == 'string' and next ~= '' then
    table.insert(successors, next)
    key = ARGV[1] .. next
  end
until not key
return #successors > 0 and successors or there
