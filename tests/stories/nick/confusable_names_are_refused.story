needs unicode
paypa arrives
bob connects
// Cyrillic, every letter of it, and in every spelling.
bob > #раура
bob < !nick-taken раура …
bob > #РАУРА
bob < !nick-taken РАУРА …
// A Latin letter that isn't ASCII.
bob > #pɑypa
bob < !nick-taken pɑypa …
// Alike in capitals only; and a reserved name.
bob > #Bob
bob < +nick Bob
bob < +room lobby 2
paypa < * Bob joined
vov connects
vov > #вов
vov < !nick-taken вов …
vov > #Ѕегѵег
vov < !nick-reserved Ѕегѵег …
vov > #ɡuest-1
vov < !nick-reserved ɡuest-1 …
// The other way round.
vov > #сор
vov < +nick сор
vov < +room lobby 3
paypa, bob < * сор joined
bob > /nick COP
bob < !nick-taken COP …
bob > /nick c0p
bob < !nick-taken c0p …
// A confusable of the own name is accepted, and finds no other user.
vov > /nick cop
vov < +nick cop
paypa, bob < * сор is now cop
bob > @сор:hi
bob < !no-such-user сор
bob > @cop:hi
vov < @Bob:hi
// ASCII names are never confusable with each other.
bob > /nick user1
bob < +nick user1
paypa, vov < * Bob is now user1
vov > /nick userl
vov < +nick userl
paypa, bob < * cop is now userl
paypa > /nick modern
paypa < +nick modern
bob, vov < * paypa is now modern
vov > /nick m0dem
vov < +nick m0dem
paypa, bob < * userl is now m0dem
vov > /nick modem
vov < +nick modem
paypa, bob < * m0dem is now modem
// In the tutorials' dialects too.
nic connects by nickname
nic >> mоdеm
nic < !nick-invalid mоdеm …
nic closed
pop arrives
paypa, bob, vov < * pop joined
ming connects by udp
ming >> L рор
ming <= occupied
