alice arrives
bob arrives
alice < * bob joined
alice > /nick alicia
alice < +nick alicia
bob < * alice is now alicia
alice > hi
bob < alicia: hi
// The former name is free, the new one isn't.
bob > @alice:x
bob < !no-such-user alice
bob > /nick ALICIA
bob < !nick-taken ALICIA …
bob > @Alicia:x
alice < @bob:x
bob > /nick alice
bob < +nick alice
alice < * bob is now alice
// Refusals keep the name.
alice > /nick
alice < !usage /nick name
alice > /nick \t
alice < !usage /nick name
alice > /nick a!
alice < !nick-invalid a! …
alice > /nick root
alice < !nick-reserved root …
bob > @alicia:still you
alice < @alice:still you
