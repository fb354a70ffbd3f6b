alice arrives
bob arrives
alice < * bob joined
alice > /leave
alice < +left lobby
bob < * alice left &lobby
// Alice has no current room now, and receives no lobby lines.
bob > who hears this?
alice > hi
alice < !not-in-room …
alice > /say hi
alice < !not-in-room …
alice > /leave
alice < !not-in-room …
alice > /who
alice < !not-in-room …
alice > &lobby:hi
alice < !not-in-room lobby
alice > @bob:but we can talk
bob < @alice:but we can talk
alice > /who lobby
alice < +who lobby bob
alice < +end who lobby 1
alice > &dev
alice < +room dev 1
alice > /leave
alice < +left dev
// Alice is not in the lobby: no room is current.
alice > hi
alice < !not-in-room …
alice > &LOBBY
alice < +room lobby 2
bob < * alice joined &lobby
alice > here
bob < alice: here
