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

-- The sum of a stored number and another one. A value that is absent, not a number, or too large
-- for a double becomes `first`.
local function sum(text, by, first)
  local number = text and tonumber(text)
  if not number or math.abs(number) == math.huge then return first end
  if is_whole(text) and is_whole(by) and bounded(text) == text then return add_whole(text, by) end
  return float(number + tonumber(by))
end

