lin arrives
cla arrives by classic
nic arrives by nickname
lin < * nic joined
rel connects by relay
udp arrives by udp
lin < * udp joined
nic < udp joined!
lin > a\x1b[2J\rb\u{202E}c\u{85}d\xFFe\tf
nic, rel < lin: a\u{FFFD}[2J\u{FFFD}b\u{FFFD}c\u{FFFD}d\u{FFFD}e\tf
udp <= lin : a\u{FFFD}[2J\u{FFFD}b\u{FFFD}c\u{FFFD}d\u{FFFD}e\tf
lin > @cla,udp:\x07\u{2066}
cla < \u{FFFD}\u{FFFD}
udp <= @lin: \u{FFFD}\u{FFFD}
udp >> C udp one\nbob: two\r\n
lin, nic, rel < udp: one\u{FFFD}bob: two\u{FFFD}
cla >> @lin:\x1b]0;x\x07
lin < @cla:\u{FFFD}]0;x\u{FFFD}
nic >> nic: \x9b1m
lin, nic, rel < nic: \u{FFFD}1m
udp <= nic : \u{FFFD}1m
