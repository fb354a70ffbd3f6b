b arrives
a connects
a >> #a\n@b:one\r
a ends
a < +nick a
a < +room lobby 2
a closed
b < * a joined
b < @a:one
b < * a left
c connects
c >> /quit
c ends
c < +bye
c closed
d connects
d >> #d
d ends
d < +nick d
d < +room lobby 2
d closed
b < * d joined
b < * d left
e connects
e >> nobody yet
e ends
e < !register-first …
e closed
