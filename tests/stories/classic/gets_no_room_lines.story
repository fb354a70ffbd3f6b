// A classic peer is in no room: a client that reads once per message that it sends accumulates no unread lines.
cla arrives by classic
lin arrives
nic arrives by nickname
lin < * nic joined
lin > hello all
nic < lin: hello all
lin > /who *
lin < +who * cla lin nic
lin < +end who * 3
lin > /who
lin < +who lobby lin nic
lin < +end who lobby 2
lin > /nick line
lin < +nick line
nic < lin is now line
lin > /quit
lin < +bye
lin closed
nic < line left!
// The next line that it receives is a direct message.
cla >> @nic:are you there?
nic < @cla: are you there?
// Its own joining, renaming and leaving are not announced either.
cla >> #clara
cla < Your user detail saved as : clara
cla ends
cla closed
