// For the tutorials' clients, which receive 1024 bytes at once: cut at a character boundary, LF included.
lin arrives
lin2 arrives
lin < * lin2 joined
cla arrives by classic
nic arrives by nickname
lin, lin2 < * nic joined
rel connects by relay
udp arrives by udp
lin, lin2 < * udp joined
nic < udp joined!
lin > \{2000*x}
lin2 < lin: \{2000*x}
nic, rel < lin: \{1018*x}
udp <= lin : \{1017*x}
// Just fits.
lin > \{1018*x}
lin2, nic, rel < lin: \{1018*x}
udp <= lin : \{1017*x}
// Characters of two bytes: in one dialect the limit falls within a character, in the other at its end.
lin > \{600*ä}
lin2 < lin: \{600*ä}
nic, rel < lin: \{509*ä}
udp <= lin : \{508*ä}
lin > @cla:\{600*ä}
cla < \{511*ä}
// Characters of four bytes.
lin > @cla:\{300*😀}
cla < \{255*😀}
// Replaced text is longer: it is cut after the replacement.
lin > @cla:\{500*\x01}
cla < \{341*�}
