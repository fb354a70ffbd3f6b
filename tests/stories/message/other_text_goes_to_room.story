alice arrives
bob arrives
alice < * bob joined
// A line that begins with a blank is text; so is one that begins like a line of the server.
alice >  /quit
bob < alice:  /quit
alice >  @bob:hi
bob < alice:  @bob:hi
alice > \t#x
bob < alice: \t#x
alice > + - ! * : =
bob < alice: + - ! * : =
alice > * root joined
bob < alice: * root joined
alice > \s
bob < alice: \s
alice > /say #hash
bob < alice: #hash
alice > /say  one blank is kept
bob < alice:  one blank is kept
alice > &lobby:/quit
bob < alice: /quit
