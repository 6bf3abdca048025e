-- Whether the session with this mark is found by a field.
function is_known_by(mark, name)
  return string.find('\n' .. string.sub(mark, 15) .. '\n', '\n' .. name .. '\n', 1, true) ~= nil
end

