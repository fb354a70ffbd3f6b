// Every key, and the true number of them in the last line; refusals are counted by code once there are any.
op connects by unix
alice arrives
cla arrives by classic
alice > &dev
alice < +room dev 1
op > /stats
op < +stats users 2
op < +stats rooms 2
op < +stats connections 3
op < +stats uptime-seconds …
op < +stats turns …
op < +stats lines-in …
op < +stats lines-out …
op < +stats bytes-in …
op < +stats bytes-out …
op < +stats queued-bytes 0
op < +stats datagrams-dropped 0
op < +end stats 11
alice > @nobody:hi
alice < !no-such-user nobody
alice > @nobody:hi
alice < !no-such-user nobody
alice > /nosuch
alice < !unknown-command nosuch see /help
op > /stats
op < +stats users 2
op < +stats rooms 2
op < +stats connections 3
op < +stats uptime-seconds …
op < +stats turns …
op < +stats lines-in …
op < +stats lines-out …
op < +stats bytes-in …
op < +stats bytes-out …
op < +stats queued-bytes 0
op < +stats datagrams-dropped 0
op < +stats refused-no-such-user 2
op < +stats refused-unknown-command 1
op < +end stats 13
