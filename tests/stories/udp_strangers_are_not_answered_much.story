// At most three times what they sent: an answer to a forged address must not pay.
alice arrives
eve connects by udp
op connects by unix
// 7 bytes, and the answer would be 32.
eve >> L admin
// 3 bytes, and the answer would be 71.
eve >> L !
// Where there is room there is an answer: 27 bytes for 44.
eve >> L administrator            \s
eve <= !nick-reserved administrator is reserved
eve >> L alice
eve <= occupied
op > /stats
op < +stats users 1
op < +stats rooms 1
op < +stats connections 2
op < +stats uptime-seconds …
op < +stats turns …
op < +stats lines-in …
op < +stats lines-out …
op < +stats bytes-in …
op < +stats bytes-out …
op < +stats queued-bytes 0
op < +stats datagrams-dropped 2
op <* +stats refused-
op < +end stats …
