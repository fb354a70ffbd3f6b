// The table of dialects.md, row by row and cell by cell.
lin arrives
cla arrives by classic
nic arrives by nickname
lin < * nic joined
rel connects by relay
rel >> rel: here
lin < * rel joined
lin < rel: here
nic < rel joined!
nic < rel: here
rel < rel: here
udp arrives by udp
lin < * udp joined
nic < udp joined!
op connects by unix

// Joined.
bob arrives
lin < * bob joined
nic < bob joined!
udp <= Welcome bob to the chat room

// A line in the lobby.
bob > hi
lin < bob: hi
nic < bob: hi
rel < bob: hi
udp <= bob : hi

// The own line.
nic >> hi
nic < nic: hi
lin, bob, rel < nic: hi
udp <= nic : hi
rel >> hi
rel < rel: hi
lin, bob, nic < rel: hi
udp <= rel : hi
udp >> C udp hi
lin, bob, nic, rel < udp: hi

// Direct message.
bob > @lin,cla,nic,rel,udp:hi
lin < @bob:hi
cla < hi
nic < @bob: hi
rel < @bob: hi
udp <= @bob: hi

// Renamed.
bob > /nick rob
bob < +nick rob
lin < * bob is now rob
nic < bob is now rob
udp <= bob is now rob

// Announcement.
op > /announce hi
op < +announced 6
lin, bob < * administrator: hi
cla < administrator: hi
nic < Administrator message: hi
rel < administrator: hi
udp <= administrator : hi

// Left.
bob > /quit for tea
bob < +bye
bob closed
lin < * rob left (for tea)
nic < rob left!
udp <= rob exited the chat room

// Refusal.
lin > \x00
cla, nic, rel > \x00
udp >> \x00
lin, cla, nic, rel < !bad-byte the line holds a NUL byte
udp <= !bad-byte the line holds a NUL byte

// Closing.
server stops
lin, cla, nic, rel, op < !shutting-down the server stops
udp <= !shutting-down the server stops
lin, cla, nic, rel, op closed
udp ends
