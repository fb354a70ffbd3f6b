// As in: printf '#a\n@b:hi\n' | nc -N host port
b arrives
a connects
a >> #a\n@b:hi\n/ping 1\n@a:mine
a ends
b < * a joined
b < @a:hi
b < * a left
a < +nick a
a < +room lobby 2
a < +pong 1
a < @a:mine
a closed
