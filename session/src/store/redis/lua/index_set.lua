-- A number as `count` bytes, the most significant first.
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

-- Removes a session from the set of a value. `member` is its public id and the name of its key.
-- Returns 1 if the set had it.
local function remove(set, member)
  return redis.call('ZREMRANGEBYLEX', set, '[' .. member, '[' .. member .. '\255\255\255\255\255')
end

-- Adds a session to the set of a value, and removes the expired ones. All have the score 0, so they
-- are in the order of their bytes, and the last one is the last to expire. Returns 1 if the set did
-- not have the session.
local function add(set, member)
  local now = tonumber(redis.call('TIME')[1])
  local is_new = 1 - remove(set, member)
  redis.call('ZADD', set, 0, member .. bytes(now, 4))
  redis.call('ZREMRANGEBYLEX', set, '-', '(' .. bytes(now * 1000, 6))
  local last = redis.call('ZRANGE', set, -1, -1)[1]
  if last then
    redis.call('PEXPIREAT', set, string.format('%.0f', number(string.sub(last, 1, 6))))
  end
  return is_new
end

