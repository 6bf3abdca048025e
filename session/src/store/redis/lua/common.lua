-- Functions that other files define: `index_session.lua`, and `is_indexed_by.lua` for the scripts
-- that leave the index to their caller.
local index, unindex, is_indexed_by

-- Sets when Redis deletes the session under `key`. It accepts no year after 9999.
local function expire_key(key, at)
  if tonumber(at) > 253402300799999 then at = '253402300799999' end
  redis.call('PEXPIREAT', key, at)
end

-- Sets when the session under `key` expires.
local function expire(key, at)
  redis.call('HSET', key, '@e', at)
  expire_key(key, at)
end

-- The server's time in ms since 1970.
local function time()
  local now = redis.call('TIME')
  return now[1] * 1000 + math.floor(now[2] / 1000)
end

-- Whether a session that expires at this time has ended by the server's clock more than a second
-- ago. Redis would delete it at once, so the clocks differ.
local function has_ended(at)
  return tonumber(at) + 1000 < time()
end

-- Stores the hash in ARGV, which begins with when it expires, in pieces that fit on the stack of
-- Lua.
local function store(key)
  for i = 1, #ARGV, 1000 do
    redis.call('HSET', key, unpack(ARGV, i, math.min(i + 999, #ARGV)))
  end
  expire_key(key, ARGV[2])
end

-- The version, the successor of a retired session, and the expiry.
local function head(key)
  return unpack(redis.call('HMGET', key, '@v', '@r', '@e'), 1, 3)
end

