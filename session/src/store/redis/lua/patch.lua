local MAX, MIN = '9223372036854775807', '-9223372036854775808'

-- Whether a string of digits is a larger number than another one.
local function past(text, bound)
  return #text > #bound or (#text == #bound and text > bound)
end

-- Whether a JSON number counts as an integer: it has no fraction and fits into 64 bits.
local function is_integer(text)
  if not string.find(text, '^%-?%d+$') then return false end
  if string.sub(text, 1, 1) == '-' then return not past(text, MIN) end
  return not past(text, '18446744073709551615')
end

-- Whether an integer is larger than MAX, and counts as MAX.
local function past_max(text)
  return string.sub(text, 1, 1) ~= '-' and past(text, MAX)
end

-- The shortest text that reads back as this number, and never as an integer.
local function float(n)
  n = math.max(math.min(n, 1.7976931348623157e308), -1.7976931348623157e308)
  local text
  for digits = 15, 17 do
    text = string.format('%.' .. digits .. 'g', n)
    if tonumber(text) == n then break end
  end
  if not string.find(text, '[.e]') then text = text .. '.0' end
  return text
end

-- Adds to a number. A value that is absent, not a number, or too large for a double becomes
-- `first`.
local function add_number(key, name, by, first)
  local text = redis.call('HGET', key, name)
  local number = text and tonumber(text)
  if not number or math.abs(number) == math.huge then
    redis.call('HSET', key, name, first)
    return
  end
  if is_integer(text) and is_integer(by) then
    -- HINCRBY does not accept these as integers.
    if text == '-0' then redis.call('HSET', key, name, '0') end
    if past_max(text) then redis.call('HSET', key, name, MAX) end
    local sum = redis.pcall('HINCRBY', key, name, by)
    if type(sum) == 'table' then
      redis.call('HSET', key, name, string.sub(by, 1, 1) == '-' and MIN or MAX)
    end
  else
    if is_integer(text) and past_max(text) then text = MAX end
    redis.call('HSET', key, name, float(tonumber(text) + tonumber(by)))
  end
end

-- Indexes further fields. `more` is a public id and names. A stored public id is kept.
local function join_index(key, more)
  local indexed = redis.call('HGET', key, '@i')
  if indexed then
    for name in string.gmatch(string.sub(more, 15), '[^\n]+') do
      local names = '\n' .. string.sub(indexed, 15) .. '\n'
      local is_new = not string.find(names, '\n' .. name .. '\n', 1, true)
      if is_new then indexed = indexed .. '\n' .. name end
    end
  end
  redis.call('HSET', key, '@i', indexed or more)
end

-- Applies a patch to a session that expires at `expires`. The changes are in ARGV from `first` on.
-- Returns the new version.
local function apply(key, expires, head, first)
  for what, value in string.gmatch(head, '(%a)(%S*)') do
    if what == 'a' then
      local version = redis.call('HGET', key, '@v')
      redis.call('DEL', key)
      redis.call('HSET', key, '@c', value, '@v', version)
      expire(key, expires)
    elseif what == 'l' then
      redis.call('HDEL', key, '@m', '@p')
    elseif what == 'm' then
      redis.call('HSET', key, '@m', value)
    elseif what == 'p' then
      redis.call('HSET', key, '@p', value)
    elseif what == 's' or (what == 'x' and tonumber(value) > tonumber(expires)) then
      expire(key, value)
    end
  end
  local i = first
  while i <= #ARGV do
    local what, name = string.sub(ARGV[i], 1, 1), string.sub(ARGV[i], 2)
    if what == '=' then
      redis.call('HSET', key, name, ARGV[i + 1])
      i = i + 2
    elseif what == '*' then
      join_index(key, name)
      i = i + 1
    elseif what == '+' then
      add_number(key, name, ARGV[i + 1], ARGV[i + 2])
      i = i + 3
    else
      redis.call('HDEL', key, name)
      i = i + 1
    end
  end
  return redis.call('HINCRBY', key, '@v', 1)
end

