local MAX, MIN = '18446744073709551615', '-9223372036854775808'

-- Whether a string of digits is a larger number than another one.
local function past(text, bound)
  return #text > #bound or (#text == #bound and text > bound)
end

-- Whether a JSON number has no fraction.
local function is_whole(text)
  return string.find(text, '^%-?%d+$')
end

-- A whole number, or the bound that it is past.
local function bounded(text)
  if string.sub(text, 1, 1) == '-' then return past(text, MIN) and MIN or text end
  return past(text, MAX) and MAX or text
end

-- A whole number as high * 1e9 + low. Lua's numbers are doubles, which hold both exactly.
local function split(text)
  local sign, digits = string.match(text, '(%-?)(%d+)')
  sign = sign == '-' and -1 or 1
  return sign * (tonumber(string.sub(digits, 1, -10)) or 0), sign * tonumber(string.sub(digits, -9))
end

-- The sum of two whole numbers.
local function add_whole(a, b)
  local high, low = split(a)
  local more_high, more_low = split(b)
  low = low + more_low
  local carry = math.floor(low / 1e9)
  high, low = high + more_high + carry, low - carry * 1e9
  local sign = ''
  if high < 0 then
    sign, high = '-', -high
    if low > 0 then high, low = high - 1, 1e9 - low end
  end
  if high == 0 then return sign .. string.format('%.0f', low) end
  return bounded(sign .. string.format('%.0f%09.0f', high, low))
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
  if is_whole(text) and is_whole(by) and bounded(text) == text then
    -- HINCRBY does not accept this as an integer.
    if text == '-0' then redis.call('HSET', key, name, '0') end
    local sum = redis.pcall('HINCRBY', key, name, by)
    -- It fails beyond 64 bits with a sign.
    if type(sum) == 'table' then redis.call('HSET', key, name, add_whole(text, by)) end
  else
    redis.call('HSET', key, name, float(tonumber(text) + tonumber(by)))
  end
end

-- For how many days a session lives at most, by the public id that begins the text.
local function days(text)
  local high, low = string.byte(text, 13, 14)
  return 256 * high + low
end

-- Indexes further fields. `more` is a public id and names. A stored public id is kept, unless that
-- in `more` differs only in that it lasts for more days.
local function join_index(key, more)
  local indexed = redis.call('HGET', key, '@i')
  if indexed then
    local is_same = string.sub(indexed, 1, 12) == string.sub(more, 1, 12)
    if is_same and days(indexed) < days(more) then
      indexed = string.sub(more, 1, 14) .. string.sub(indexed, 15)
    end
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
      redis.call('HDEL', key, '@m', '@p', '@a')
    elseif what == 'm' then
      redis.call('HSET', key, '@m', value)
    elseif what == 'p' then
      redis.call('HSET', key, '@p', value)
    elseif what == 'd' then
      redis.call('HSET', key, '@a', value)
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

