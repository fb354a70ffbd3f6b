alice arrives
bob arrives
alice < * bob joined
alice > /nick ALICE
alice < +nick ALICE
bob < * alice is now ALICE
// The same spelling again is no rename event.
alice > /nick ALICE
alice < +nick ALICE
bob > @alice:hi
alice < @bob:hi
alice > /who
alice < +who lobby ALICE bob
alice < +end who lobby 2
