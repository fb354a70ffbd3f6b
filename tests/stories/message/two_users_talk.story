alice arrives
bob connects
bob > #Bob
bob < +nick Bob
bob < +room lobby 2
alice < * Bob joined
alice > hello all
bob < alice: hello all
bob > @ALICE:psst
alice < @Bob:psst
alice > @bob:what: is @it?
bob < @alice:what: is @it?
bob > /quit
bob < +bye
bob closed
alice < * Bob left
