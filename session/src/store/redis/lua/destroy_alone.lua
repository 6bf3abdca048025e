local successor = redis.pcall('HGET', KEYS[1], '@r')
if type(successor) == 'string' and string.find(successor, '^[^~]') then return successor end
-- For the index: the public id, then names and values.
local indexed, destroyed = redis.pcall('HGET', KEYS[1], '@i')
if type(indexed) == 'string' then
  destroyed = { 1, string.sub(indexed, 1, 14) }
  for name in string.gmatch(string.sub(indexed, 15), '[^\n]+') do
    local value = redis.call('HGET', KEYS[1], name)
    if value then
      destroyed[#destroyed + 1] = name
      destroyed[#destroyed + 1] = value
    end
  end
end
local was_there = redis.call('DEL', KEYS[1])
return destroyed or was_there
