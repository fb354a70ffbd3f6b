alice arrives
bob arrives
alice < * bob joined
alice > &dev
alice < +room dev 1
bob > /join dev
bob < +room dev 2
alice < * bob joined &dev
// Plain text goes to the room that was joined last.
alice > in dev
bob < &dev:alice:in dev
alice > /say /in dev too
bob < &dev:alice:/in dev too
// A line to another room doesn't change it.
alice > &lobby:in the lobby
bob < alice: in the lobby
alice > dev again
bob < &dev:alice:dev again
alice > &lobby
alice < +room lobby 2
alice > now the lobby
bob < alice: now the lobby
alice > & dev :  spaces stay
bob < &dev:alice:  spaces stay
// Leaving one that isn't current keeps the current one.
alice > /leave dev
alice < +left dev
bob < * alice left &dev
alice > still the lobby
bob < alice: still the lobby
alice > &dev:x
alice < !not-in-room dev
alice > /leave dev
alice < !not-in-room dev
bob > /leave
bob < +left dev
// After leaving the current room, the lobby is current.
bob > back
alice < bob: back
