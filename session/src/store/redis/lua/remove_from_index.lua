return remove(KEYS[1], ARGV[1])
