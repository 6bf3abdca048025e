local next = redis.pcall('HGET', KEYS[1], '@r')
if type(next) == 'string' and next ~= '' then return next end
-- For the index: the public id, then names and values.
local known, ended = redis.pcall('HGET', KEYS[1], '@i')
if type(known) == 'string' then
  ended = { 1, string.sub(known, 1, 14) }
  for name in string.gmatch(string.sub(known, 15), '[^\n]+') do
    local value = redis.call('HGET', KEYS[1], name)
    if value then
      ended[#ended + 1] = name
      ended[#ended + 1] = value
    end
  end
end
local there = redis.call('DEL', KEYS[1])
return ended or there
