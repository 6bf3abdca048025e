-- Calls `action` with the set of each value by which the session under `key` is found, and its place in it.
local function each_value(key, action)
  local known = redis.pcall('HGET', key, '@i')
  if type(known) ~= 'string' then return end
  local prefix, place = string.sub(key, 1, -44), string.sub(known, 1, 14) .. string.sub(key, -43)
  for name in string.gmatch(string.sub(known, 15), '[^\n]+') do
    local value = redis.call('HGET', key, name)
    if value and value ~= 'null' then
      action(prefix .. '@' .. redis.sha1hex(name .. '\n' .. value), place)
    end
  end
end

function index(key) each_value(key, enter) end
function unindex(key) each_value(key, leave) end

