with --drain 0
alice arrives
bob arrives
alice < * bob joined
bob > /quit
bob < +bye
bob closed
alice < * bob left
carol connects
carol >> #carol\n/ping 1\n
carol ends
carol < +nick carol
carol < +room lobby 2
carol < +pong 1
carol closed
alice < * carol joined
alice < * carol left
server stops
alice < !shutting-down …
alice closed
