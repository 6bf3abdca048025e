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

-- When the session of a member has certainly ended, ms since 1970. The public id says when it
-- began, and for how many days it lives at most; 65535: for ever.
local function ends_at(member)
  local days = number(string.sub(member, 13, 14))
  local at = number(string.sub(member, 1, 6)) + days * 86400000
  return days < 65535 and math.min(at, 253402300799999) or 253402300799999
end

-- Adds a session to the set of a value. Returns 1 if the set did not have it.
--
-- All have the score 0, so they are in the order of their bytes: that in which they began. Those
-- that have ended can be anywhere among them. So each call looks at a few that chance chooses, and
-- removes those that have ended. That keeps their share small, because each call adds only one.
local function add(set, member)
  local now = tonumber(redis.call('TIME')[1])
  local is_new = 1 - remove(set, member)
  redis.call('ZADD', set, 0, member .. bytes(now, 4))
  for _, other in ipairs(redis.call('ZRANDMEMBER', set, 8)) do
    if ends_at(other) <= now * 1000 then redis.call('ZREM', set, other) end
  end
  -- The set lives as long as the last of them can.
  if now * 1000 + redis.call('PTTL', set) < ends_at(member) then
    redis.call('PEXPIREAT', set, string.format('%.0f', ends_at(member)))
  end
  return is_new
end

