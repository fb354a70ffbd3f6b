alice arrives
bob arrives
alice < * bob joined
carol arrives
alice, bob < * carol joined
alice > @bob,carol:both
bob, carol < @alice:both
alice > @bob , carol :blanks
bob, carol < @alice:blanks
// Named twice, in two spellings even, gets it once; oneself counts.
alice > @bob,BOB,carol,bob,alice:once
bob, carol, alice < @alice:once
// Those who can be reached get it, each other is refused by the name as it was typed.
alice > @NoBody,bob,No.One,c!d,CAROL:some
bob, carol < @alice:some
alice < !no-such-user NoBody
alice < !no-such-user No.One
alice < !nick-invalid c!d …
alice > /msg bob,nobody,carol as well
bob, carol < @alice:as well
alice < !no-such-user nobody
