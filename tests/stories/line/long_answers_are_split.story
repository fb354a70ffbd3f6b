with --max-line 200
alice arrives
bob connects
bob > #\{32*b}
bob < +nick \{32*b}
bob < +room lobby 2
alice < * \{32*b} joined
carol connects
carol > #\{32*c}
carol < +nick \{32*c}
carol < +room lobby 3
alice, bob < * \{32*c} joined
alice > /who
alice < +who lobby alice \{32*b}
alice < +who lobby \{32*c}
alice < +end who lobby 3
