alice arrives
bob arrives
alice < * bob joined
bob > /quit
bob < +bye
bob closed
alice < * bob left
carol arrives
alice < * carol joined
carol > /quit   so long, and (thanks)\s
carol < +bye
carol closed
alice < * carol left (so long, and (thanks))
dave arrives
alice < * dave joined
dave ends
dave closed
alice < * dave left
eve arrives
alice < * eve joined
eve vanishes
alice < * eve left (connection lost)
// Their names are free again.
bob2 connects
bob2 > #eve
bob2 < +nick eve
bob2 < +room lobby 2
alice < * eve joined
