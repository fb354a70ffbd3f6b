bob arrives
alice connects
alice > #al\x00ice
alice < !bad-byte …
alice > \x00
alice < !bad-byte …
alice > #alice
alice < +nick alice
alice < +room lobby 2
bob < * alice joined
alice > @bob:a\x00b
alice < !bad-byte …
alice > \x00/quit
alice < !bad-byte …
alice > fine
bob < alice: fine
