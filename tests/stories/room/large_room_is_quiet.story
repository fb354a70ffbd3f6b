with --quiet-above 2
alice arrives
bob arrives
alice < * bob joined
// The third makes it large, the one who comes or goes counted.
carol arrives
carol > /nick cora
carol < +nick cora
carol > &lobby:hello
alice, bob < cora: hello
// A small room that they share tells it.
carol > &dev
carol < +room dev 1
bob > &dev
bob < +room dev 2
carol < * bob joined &dev
bob > /nick rob
bob < +nick rob
carol < * bob is now rob
bob > /leave lobby
bob < +left lobby
// Two are left in the lobby: it tells again.
carol > /nick carol
carol < +nick carol
alice, bob < * cora is now carol
carol > /quit
carol < +bye
carol closed
alice, bob < * carol left
dave arrives
alice < * dave joined
