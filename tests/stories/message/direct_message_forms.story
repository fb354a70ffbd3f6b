alice arrives
bob arrives
alice < * bob joined
// Blanks around the name are trimmed, the text keeps its own; only the first colon separates.
alice > @ bob\t:  two: spaces\s
bob < @alice:  two: spaces\s
alice > @bob:@bob:&x:/y
bob < @alice:@bob:&x:/y
alice > /msg bob hi there
bob < @alice:hi there
alice > /msg  bob\tx
bob < @alice:x
alice > /MSG BOB loud
bob < @alice:loud
// To the sender itself.
alice > @alice:note
alice < @alice:note
alice > @nobody:x
alice < !no-such-user nobody
