with --max-rooms-per-connection 2
alice arrives
alice > &one
alice < +room one 1
alice > &two
alice < !too-many-rooms …
// The lobby counts; a room that the peer is in already can be joined.
alice > &lobby
alice < +room lobby 1
alice > /leave lobby
alice < +left lobby
alice > &two
alice < +room two 1
alice > &lobby
alice < !too-many-rooms …
bob arrives
bob > &three
bob < +room three 1
