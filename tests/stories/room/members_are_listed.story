alice arrives
bob arrives
alice < * bob joined
alice > /who
alice < +who lobby alice bob
alice < +end who lobby 2
bob > /join dev
bob < +room dev 1
alice > /who DEV
alice < +who dev bob
alice < +end who dev 1
bob > /who
bob < +who dev bob
bob < +end who dev 1
bob > /who *
bob < +who * alice bob
bob < +end who * 2
// Unregistered connections are not listed.
carol connects
bob > /who *
bob < +who * alice bob
bob < +end who * 2
bob > /who no such
bob < !room-invalid no such …
bob > /rooms
bob < +rooms lobby:2 dev:1
bob < +end rooms 2
