alice arrives
alice > /who dev
alice < !no-such-room dev
alice > &dev:hi
alice < !no-such-room dev
alice > /leave dev
alice < !no-such-room dev
alice > &Dev
alice < +room Dev 1
alice > /rooms
alice < +rooms lobby:1 Dev:1
alice < +end rooms 2
bob arrives
alice < * bob joined
// Another spelling is the same room, which keeps the spelling of its first member.
bob > &DEV
bob < +room Dev 2
alice < * bob joined &Dev
bob > &dev:hi
alice < &Dev:bob:hi
alice > /leave DEV
alice < +left Dev
bob < * alice left &Dev
bob > /leave
bob < +left Dev
bob > /who Dev
bob < !no-such-room Dev
bob > /rooms
bob < +rooms lobby:2
bob < +end rooms 1
// The next first member sets the spelling again. The lobby stays, even empty.
bob > &dev
bob < +room dev 1
bob > /leave lobby
bob < +left lobby
alice < * bob left &lobby
alice > /quit
alice < +bye
alice closed
bob > /rooms
bob < +rooms lobby:0 dev:1
bob < +end rooms 2
bob > /who lobby
bob < +end who lobby 0
