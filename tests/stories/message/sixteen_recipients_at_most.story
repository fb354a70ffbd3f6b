alice arrives
bob arrives
alice < * bob joined
alice > @bob,bob,bob,bob,bob,bob,bob,bob,bob,bob,bob,bob,bob,bob,bob,bob:sixteen
bob < @alice:sixteen
alice > @bob,bob,bob,bob,bob,bob,bob,bob,bob,bob,bob,bob,bob,bob,bob,bob,bob:seventeen
alice < !too-many-targets …
alice > @a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,bob:mostly nobody
bob < @alice:mostly nobody
alice < !no-such-user a
alice < !no-such-user b
alice < !no-such-user c
alice < !no-such-user d
alice < !no-such-user e
alice < !no-such-user f
alice < !no-such-user g
alice < !no-such-user h
alice < !no-such-user i
alice < !no-such-user j
alice < !no-such-user k
alice < !no-such-user l
alice < !no-such-user m
alice < !no-such-user n
alice < !no-such-user o
