// The unix listener: the line protocol with operator rights.
op, op2 connects by unix
// Without a name.
op > /announce is anybody here?
op < +announced 0
op > /who *
op < +end who * 0
op > /rooms
op < +rooms lobby:0
op < +end rooms 1
op > /who lobby
op < +end who lobby 0
op > hello
op < !register-first say #name to take a name
op > @alice:hello
op < !register-first say #name to take a name
op > /nosuch
op < !unknown-command nosuch see /help
op > /kick
op < !usage /kick nick [reason]
op > /kick nobody
op < !no-such-user nobody
op > /announce
op < !usage /announce text
op > /announce \s
op < +announced 0

alice, bob arrives
alice < * bob joined
op > /announce tea
op < +announced 2
alice, bob < * administrator: tea
op > /who *
op < +who * alice bob
op < +end who * 2

// With a name, the operator receives announcements too, and is counted.
op > #Olga
op < +nick Olga
op < +room lobby 3
alice, bob < * Olga joined
op > /announce more tea
op < * administrator: more tea
op < +announced 3
alice, bob < * administrator: more tea
op2 > /announce and cake
op2 < +announced 3
alice, bob, op < * administrator: and cake
op > hello
alice, bob < Olga: hello
op > /kick BOB enough: said\x1b
op < +kicked bob
op < * bob left (enough: said\u{FFFD})
alice < * bob left (enough: said\u{FFFD})
bob < !kicked enough: said\u{FFFD}
bob closed
