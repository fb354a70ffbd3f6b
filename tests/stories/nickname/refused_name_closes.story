// The client sends its nickname automatically and only once: it is sent one line with the reason, and is closed.
alice arrives by nickname
a, b, c, d, e connects by nickname
a >> ALICE
a < !nick-taken ALICE is taken
a closed
b >> al ice
b < !nick-invalid al ice is not a name: 1 to 32 letters of one script, digits, - _ .
b closed
c >> Administrator
c < !nick-reserved Administrator is reserved
c closed
d >> guest-7
d < !nick-reserved guest-7 is reserved
d closed
e >> \{33*x}
e < !nick-invalid \{33*x} is not a name: 1 to 32 letters of one script, digits, - _ .
e closed
// Blanks around the nickname are trimmed, and a blank answer is ignored.
f connects by nickname
f >> \s \n
f >> \sfritz \n
f < fritz joined!
f < Connected to server!
alice < fritz joined!
