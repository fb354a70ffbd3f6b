// Its name is refused for a minute, as if it were taken: the peer becomes a numbered guest.
op connects by unix
tom connects by relay
tom >> tom: hello
tom < tom: hello
op > /kick tom
op < +kicked tom
tom < !kicked
tom closed
tom2 connects by relay
tom2 >> tom: me again
tom2 < guest-1: tom: me again
time passes 60s
tom2 >> tom: and again
tom2 < tom: and again
