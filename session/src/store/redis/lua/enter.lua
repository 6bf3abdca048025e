return enter(KEYS[1], ARGV[1])
