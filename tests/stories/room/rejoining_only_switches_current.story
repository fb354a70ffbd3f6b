alice arrives
bob arrives
alice < * bob joined
alice, bob > &dev
alice < +room dev 1
bob < +room dev 2
alice < * bob joined &dev
alice > &lobby
alice < +room lobby 2
alice > &dev
alice < +room dev 2
alice > hi
bob < &dev:alice:hi
