alice arrives
bob arrives
alice < * bob joined
bob >> one\n/quit\ntwo\n#x\n
bob < +bye
bob closed
alice < bob: one
alice < * bob left
