// One server, one set of names, one lobby: a peer of each dialect receives the lines of the others in its own dialect.
lin arrives
cla arrives by classic

nic arrives by nickname
lin < * nic joined

rel connects by relay
rel >> rel  :   good morning
rel < rel: good morning
lin < * rel joined
lin < rel: good morning
nic < rel joined!
nic < rel: good morning

udp arrives by udp
lin < * udp joined
nic < udp joined!

op connects by unix

// Lobby lines. The classic peer, which reads once per message that it sends, receives none of them.
lin > from lin
nic < lin: from lin
rel < lin: from lin
udp <= lin : from lin

nic >> nic: from nic
lin < nic: from nic
nic < nic: from nic
rel < nic: from nic
udp <= nic : from nic

rel >> rel: from rel
lin < rel: from rel
nic < rel: from rel
rel < rel: from rel
udp <= rel : from rel

udp >> C udp from udp
lin < udp: from udp
nic < udp: from udp
rel < udp: from udp

// Direct messages: dialects that have them reach every dialect.
lin > @cla,nic,rel,udp:psst
cla < psst
nic < @lin: psst
rel < @lin: psst
udp <= @lin: psst
cla >> @lin:psst
lin < @cla:psst
cla >> @nic:psst
nic < @cla: psst
cla >> @rel:psst
rel < @cla: psst
cla >> @udp:psst
udp <= @cla: psst
cla >> @CLA:psst
cla < psst

// Renaming.
lin > /nick linus
lin < +nick linus
nic < lin is now linus
udp <= lin is now linus
cla >> #clara
cla < Your user detail saved as : clara
udp >> L uwe
udp <= OK
lin < * udp is now uwe
nic < udp is now uwe

// A name that is taken in one dialect is refused in every dialect.
lin > /nick CLARA
lin < !nick-taken CLARA is taken
cla >> #Linus
cla < !nick-taken Linus is taken
udp >> L nic
udp <= occupied
late connects by nickname
late >> Uwe
late < !nick-taken Uwe is taken
late closed
guest connects by relay
guest >> Rel: hello
guest < guest-1: Rel: hello
lin < * guest-1 joined
lin < guest-1: Rel: hello
nic < guest-1 joined!
nic < guest-1: Rel: hello
rel < guest-1: Rel: hello
udp <= Welcome guest-1 to the chat room
udp <= guest-1 : Rel: hello
guest ends
guest closed
lin < * guest-1 left
nic < guest-1 left!
udp <= guest-1 exited the chat room

// Operators.
op > /announce hear ye
op < +announced 5
lin < * administrator: hear ye
cla < administrator: hear ye
nic < Administrator message: hear ye
rel < administrator: hear ye
udp <= administrator : hear ye

op > /kick rel that is enough
op < +kicked rel
rel < !kicked that is enough
rel closed
lin < * rel left (that is enough)
nic < rel left!
udp <= rel exited the chat room

op > /who *
op < +who * linus clara nic uwe
op < +end who * 4

// Leaving.
udp >> Q uwe
udp <= EXIT
lin < * uwe left
nic < uwe left!
nic ends
nic closed
lin < * nic left
