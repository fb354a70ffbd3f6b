// It is in no room, so that a client which reads once per message that it sends never falls behind.
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
// The next that it gets is what was addressed to it.
cla >> @nic:are you there?
nic < @cla: are you there?
// Nobody hears of its coming, renaming and going either.
cla >> #clara
cla < Your user detail saved as : clara
cla ends
cla closed
