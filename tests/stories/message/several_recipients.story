alice arrives
bob arrives
alice < * bob joined
carol arrives
alice, bob < * carol joined
alice > @bob,carol:both
bob, carol < @alice:both
alice > @bob , carol :blanks
bob, carol < @alice:blanks
// A name that is repeated, in any spelling, receives it once; the sender counts.
alice > @bob,BOB,carol,bob,alice:once
bob, carol, alice < @alice:once
// Reachable recipients receive it; each other one is refused by its name as typed.
alice > @NoBody,bob,No.One,c!d,CAROL:some
bob, carol < @alice:some
alice < !no-such-user NoBody
alice < !no-such-user No.One
alice < !nick-invalid c!d …
alice > /msg bob,nobody,carol as well
bob, carol < @alice:as well
alice < !no-such-user nobody
