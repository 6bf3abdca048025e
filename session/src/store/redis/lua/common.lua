-- The index, in the scripts that keep it: see `indexed.lua`.
local index, unindex

-- When the session under `key` ends: for those who read it, and for Redis, which takes no later year
-- than 9999.
local function expire(key, at)
  redis.call('HSET', key, '@e', at)
  if tonumber(at) > 253402300799999 then at = '253402300799999' end
  redis.call('PEXPIREAT', key, at)
end

-- Stores the hash in ARGV from `first` on, in pieces that fit on Lua's stack.
local function store(key, first)
  for i = first, #ARGV, 1000 do
    redis.call('HSET', key, unpack(ARGV, i, math.min(i + 999, #ARGV)))
  end
end

-- Version, mark of a retired session, and expiry.
local function head(key)
  return unpack(redis.call('HMGET', key, '@v', '@r', '@e'), 1, 3)
end

