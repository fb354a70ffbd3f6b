alice arrives
ming, hans arrives by udp
alice < * ming joined
alice < * hans joined
ming <= Welcome hans to the chat room
time passes 599s
// Any datagram is enough, even an invalid one.
hans >> hm
time passes 2s
alice < * ming left (silent)
hans <= ming exited the chat room
time passes 590s
alice > still there?
hans <= alice : still there?
time passes 10s
alice < * hans left (silent)
// Both may register again.
ming >> L ming
ming <= OK
alice < * ming joined
