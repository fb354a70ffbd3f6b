with --max-rooms 3
alice arrives
bob arrives
alice < * bob joined
alice > &one
alice < +room one 1
alice > &two
alice < +room two 1
alice > &three
alice < !too-many-rooms …
// Existing rooms can be joined.
bob > &one
bob < +room one 2
alice < * bob joined &one
bob > &three
bob < !too-many-rooms …
alice > in two
alice > /leave two
alice < +left two
bob > &three
bob < +room three 1
