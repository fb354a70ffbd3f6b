alice arrives
bob arrives
alice < * bob joined
carol arrives
alice, bob < * carol joined
alice > &one
alice < +room one 1
bob > &one
bob < +room one 2
alice < * bob joined &one
alice > &two
alice < +room two 1
bob > &two
bob < +room two 2
alice < * bob joined &two
carol > /leave lobby
carol < +left lobby
alice, bob < * carol left &lobby
// Alice and Bob share three rooms; Carol shares none and receives no event.
bob > /nick rob
bob < +nick rob
alice < * bob is now rob
bob > /quit see you
bob < +bye
bob closed
alice < * rob left (see you)
