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

-- Whether the session has ended by the server's clock once a patch is applied.
local function would_end(head)
  local expires = string.match(head, 's(%d+)')
  return expires and has_ended(expires)
end

-- Applies a patch to a session that expires at `expires`. The changes are in ARGV from `first` on.
-- Returns the new version.
local function apply(key, expires, head, first)
  local limits
  for what, value in string.gmatch(head, '(%a)(%S*)') do
    if what == 'a' then
      local version = redis.call('HGET', key, '@v')
      redis.call('DEL', key)
      redis.call('HSET', key, '@c', value, '@v', version)
      expire(key, expires)
    elseif what == 'l' then
      limits = ''
    elseif what == 'm' or what == 'p' or what == 'd' then
      limits = limits .. ' ' .. what .. value
    elseif what == 's' or (what == 'x' and tonumber(value) > tonumber(expires)) then
      expire(key, value)
    end
  end
  if limits then
    local created = string.match(redis.call('HGET', key, '@c') or '', '^%d*')
    redis.call('HSET', key, '@c', created .. limits)
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
      redis.call('HSET', key, name, sum(redis.call('HGET', key, name), ARGV[i + 1], ARGV[i + 2]))
      i = i + 3
    else
      redis.call('HDEL', key, name)
      i = i + 1
    end
  end
  return redis.call('HINCRBY', key, '@v', 1)
end

