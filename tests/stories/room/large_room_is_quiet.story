with --quiet-above 2
alice arrives
bob arrives
alice < * bob joined
// The third member makes it large; the member that joins or leaves counts.
carol arrives
carol > /nick cora
carol < +nick cora
carol > &lobby:hello
alice, bob < cora: hello
// A small shared room announces it.
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
// Two members are left in the lobby: it announces presence again.
carol > /nick carol
carol < +nick carol
alice, bob < * cora is now carol
carol > /quit
carol < +bye
carol closed
alice, bob < * carol left
dave arrives
alice < * dave joined
