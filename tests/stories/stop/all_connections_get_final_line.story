alice arrives
bob arrives
alice < * bob joined
carol connects
carol >> half a li
alice > @bob:last words
server stops
bob < @alice:last words
// No leave events are sent.
alice < !shutting-down …
alice closed
bob < !shutting-down …
bob closed
carol < !shutting-down …
carol closed
