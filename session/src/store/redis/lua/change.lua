local key, adds, removals = KEYS[1], tonumber(ARGV[1]), tonumber(ARGV[2])
-- Names, differences, what absent fields become; names to remove; names and values to set.
local removed, set = 3 + 3 * adds, 3 + 3 * adds + removals
local stored = redis.call('HMGET', key, '@v', '@r', '@i', unpack(ARGV, 3, 2 + adds))
local version, indexed = stored[1], stored[3]
if not version or stored[2] then return false end
if indexed then
  for i = 3, #ARGV do
    local is_name = i < 3 + adds or (i >= removed and (i < set or (i - set) % 2 == 0))
    if is_name and is_indexed_by(indexed, ARGV[i]) then return -2 end
  end
end
-- Exact below 2^53, which no session reaches.
version = version + 1
local fields = { '@v', string.format('%.0f', version), unpack(ARGV, set) }
for i = 1, adds do
  local text, by = stored[3 + i], ARGV[2 + adds + i]
  fields[#fields + 1] = ARGV[2 + i]
  -- The sum of two whole numbers of up to 15 digits is exact in a double.
  if text and #text < 16 and #by < 16 and not string.find(text .. by, '[^%d-]') then
    fields[#fields + 1] = string.format('%.0f', text + by)
  else
    fields[#fields + 1] = numbers()(text, by, ARGV[2 + 2 * adds + i])
  end
end
redis.call('HSET', key, unpack(fields))
if removals > 0 then redis.call('HDEL', key, unpack(ARGV, removed, set - 1)) end
-- For a client with a local cache: the server reports the next change of a key that was read.
if KEYS[2] then redis.call('EXISTS', KEYS[2]) end
return version
