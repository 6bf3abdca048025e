local key, adds, removals, patches = KEYS[1], tonumber(ARGV[1]), tonumber(ARGV[2]), ARGV[3]
-- Names, differences, what absent fields become; names to remove; names and values to set.
local removed, set = 4 + 3 * adds, 4 + 3 * adds + removals
local version, retired, indexed = unpack(redis.call('HMGET', key, '@v', '@r', '@i'), 1, 3)
if not version or retired then return false end
if indexed then
  for i = 4, #ARGV do
    local is_name = i < 4 + adds or (i >= removed and (i < set or (i - set) % 2 == 0))
    if is_name and is_indexed_by(indexed, ARGV[i]) then return -2 end
  end
end
if patches ~= '1' then
  for i = 4, 3 + adds do
    local stored = redis.call('HGET', key, ARGV[i])
    -- Sums of 18 digits are exact. Others depend on the order of the patches.
    if stored and (#stored > 18 or not string.find(stored, '^%-?%d+$')) then return -4 end
  end
end
-- First, as in `add.lua`.
version = redis.call('HINCRBY', key, '@v', patches)
for i = 4, 3 + adds do
  local name, by, first = ARGV[i], ARGV[i + adds], ARGV[i + 2 * adds]
  -- As in `add.lua`; an absent field may become something else than `by`.
  if (by ~= first and not redis.call('HGET', key, name))
    or type(redis.pcall('HINCRBY', key, name, by)) == 'table'
  then
    redis.call('HSET', key, name, numbers()(redis.call('HGET', key, name), by, first))
  end
end
if set <= #ARGV then redis.call('HSET', key, unpack(ARGV, set)) end
if removals > 0 then redis.call('HDEL', key, unpack(ARGV, removed, set - 1)) end
-- For a client with a local cache: the server reports the next change of a key that was read.
if KEYS[2] then redis.call('EXISTS', KEYS[2]) end
return version
