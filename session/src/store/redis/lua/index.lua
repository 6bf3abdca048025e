-- A number as so many bytes, the first one the most significant.
local function bytes(number, count)
  local text = ''
  for _ = 1, count do
    text = string.char(number % 256) .. text
    number = math.floor(number / 256)
  end
  return text
end

-- The number in these bytes.
local function number(text)
  local sum = 0
  for i = 1, #text do sum = sum * 256 + string.byte(text, i) end
  return sum
end

-- Takes a session out of the set of those with a value. `place` is its public id and the name of its key.
-- Returns 1 if it was there.
local function leave(set, place)
  return redis.call('ZREMRANGEBYLEX', set, '[' .. place, '[' .. place .. '\255\255\255\255\255')
end

-- Puts a session into the set of those with a value, and takes those out whose time is over. All have the score 0,
-- so they are in the order of their bytes, and the last one is the last to end. Returns 1 if the session is new there.
local function enter(set, place)
  local now = tonumber(redis.call('TIME')[1])
  local is_new = 1 - leave(set, place)
  redis.call('ZADD', set, 0, place .. bytes(now, 4))
  redis.call('ZREMRANGEBYLEX', set, '-', '(' .. bytes(now * 1000, 6))
  local last = redis.call('ZRANGE', set, -1, -1)[1]
  if last then
    redis.call('PEXPIREAT', set, string.format('%.0f', number(string.sub(last, 1, 6))))
  end
  return is_new
end

