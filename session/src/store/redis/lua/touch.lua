local version, retired, expires = head(KEYS[1])
if not version or retired then return 0 end
if tonumber(ARGV[1]) > tonumber(expires) then expire(KEYS[1], ARGV[1]) end
return 1
