// dialects.md, "udp", sentence by sentence.
ming, other, hans connects by udp
ming >> L ming
ming <= OK
// Repeated from the same address.
ming >> L ming
ming <= OK
// Taken by another peer.
other >> L MING
other <= occupied
hans >> L hans
hans <= OK
ming <= Welcome hans to the chat room

// All other peers receive it; one LF at the end is dropped, one within is replaced.
ming >> C ming hello all
hans <= ming : hello all
ming >> C MING hello all\n
hans <= ming : hello all
ming >> C ming two\nlines\n\n
hans <= ming : two\u{FFFD}lines\u{FFFD}
ming >> C ming
ming <= !empty-text there is nothing to say

// A peer can neither speak nor quit for another one; an unregistered peer can do neither.
hans >> C ming I am ming
hans >> Q ming
hans >> C nobody hello
other >> C ming hello
other >> C other hello
other >> Q ming
other >> Q other
ming >> C ming still here
hans <= ming : still here

// Other datagrams get no answer.
hans >> hello
hans >> l hans
hans >> L
hans >> \n
other >> hello

ming >> Q ming
ming <= EXIT
hans <= ming exited the chat room
// After quitting, datagrams are ignored and the name is free.
ming >> C ming hello
other >> L Ming
other <= OK
hans <= Welcome Ming to the chat room
