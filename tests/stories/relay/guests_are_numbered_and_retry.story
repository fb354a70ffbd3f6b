alice arrives
a, b, c connects by relay
// Taken, not valid, reserved, none: a guest, and the whole message is its text.
a >> Alice: it is me
a, b, c < guest-1: Alice: it is me
alice < * guest-1 joined
alice < guest-1: Alice: it is me
b >> not a name: hello
a, b, c < guest-2: not a name: hello
alice < * guest-2 joined
alice < guest-2: not a name: hello
c >> hello
a, b, c < guest-3: hello
alice < * guest-3 joined
alice < guest-3: hello
// The own guest name may be in front.
b >> guest-2: hello
a, b, c, alice < guest-2: hello
b >> guest-3: hello
a, b, c, alice < guest-2: guest-3: hello

// Each message tries to register its name again.
a >> Alice: still me
a, b, c, alice < guest-1: Alice: still me
a >> anna: then I am anna
a, b, c < anna: then I am anna
alice < * guest-1 is now anna
alice < anna: then I am anna
// A registered name is kept.
a >> berta: and now?
a, b, c, alice < anna: berta: and now?

// The lowest free number is given.
d connects by relay
d >> hi
a, b, c, d < guest-1: hi
alice < * guest-1 joined
alice < guest-1: hi
b ends
b closed
alice < * guest-2 left
e connects by relay
e >> hi
a, c, d, e < guest-2: hi
alice < * guest-2 joined
alice < guest-2: hi
