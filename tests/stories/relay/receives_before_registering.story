// dialects.md, "relay", sentence by sentence.
// No greeting on accept; lobby lines are sent at once, without a join event.
alice arrives
tom, other connects by relay
alice > anybody here?
tom, other < alice: anybody here?
alice > /who
alice < +who lobby alice
alice < +end who lobby 1

// It registers with its first message, under the name in front.
tom >> tom  :   good morning
tom, other < tom: good morning
alice < * tom joined
alice < tom: good morning

// Later its own name in front is taken off, however it is written; nothing else is.
tom >> TOM:hello
tom, other, alice < tom: hello
tom >> alice: hello
tom, other, alice < tom: alice: hello
tom >> see: this
tom, other, alice < tom: see: this
tom >> no name
tom, other, alice < tom: no name

// It receives no presence events.
bob arrives
alice < * bob joined
bob > /nick rob
bob < +nick rob
alice < * bob is now rob
bob > /quit
bob < +bye
bob closed
alice < * rob left
tom ends
tom closed
alice < * tom left
