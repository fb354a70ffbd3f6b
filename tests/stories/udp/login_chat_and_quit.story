// dialects.md, "udp", sentence by sentence.
ming, other, hans connects by udp
ming >> L ming
ming <= OK
// Repeated from the same address.
ming >> L ming
ming <= OK
// Held by another.
other >> L MING
other <= occupied
hans >> L hans
hans <= OK
ming <= Welcome hans to the chat room

// Everyone else gets it; one LF at the end is dropped, one within is made safe.
ming >> C ming hello all
hans <= ming : hello all
ming >> C MING hello all\n
hans <= ming : hello all
ming >> C ming two\nlines\n\n
hans <= ming : two\u{FFFD}lines\u{FFFD}
ming >> C ming
ming <= !empty-text there is nothing to say

// Nobody speaks for another, nobody quits another, and who has no name does neither.
hans >> C ming I am ming
hans >> Q ming
hans >> C nobody hello
other >> C ming hello
other >> C other hello
other >> Q ming
other >> Q other
ming >> C ming still here
hans <= ming : still here

// What is none of the three gets no answer.
hans >> hello
hans >> l hans
hans >> L
hans >> \n
other >> hello

ming >> Q ming
ming <= EXIT
hans <= ming exited the chat room
// Gone is gone; the name is free.
ming >> C ming hello
other >> L Ming
other <= OK
hans <= Welcome Ming to the chat room
