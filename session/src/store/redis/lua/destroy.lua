local key, was_there, successors = KEYS[1], 0, {}
repeat
  -- What is under the key is deleted even if it is not a session.
  local successor = redis.pcall('HGET', key, '@r')
  unindex(key)
  if redis.call('DEL', key) == 1 then was_there = 1 end
  key = nil
  if type(successor) == 'string' and string.find(successor, '^[^~]') then
    table.insert(successors, successor)
    key = ARGV[1] .. successor
  end
until not key
return #successors > 0 and successors or was_there
