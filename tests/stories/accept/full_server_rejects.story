with --max-connections 2
alice arrives
bob connects
carol knocks
carol < !server-full …
carol closed
alice > /ping 1
alice < +pong 1
bob > #bob
bob < +nick bob
bob < +room lobby 2
alice < * bob joined
// A slot that is freed can be used.
bob > /quit
bob < +bye
bob closed
alice < * bob left
