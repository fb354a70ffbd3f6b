op connects by unix
alice arrives
nic arrives by nickname
alice < * nic joined
cla connects by classic
udp arrives by udp
alice < * udp joined
nic < udp joined!
op > /shutdown
op < +shutdown
alice, nic, cla, op < !shutting-down the server stops
udp <= !shutting-down the server stops
alice, nic, cla, op closed
udp ends
