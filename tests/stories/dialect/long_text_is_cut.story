// To the tutorials' clients, which receive 1024 bytes at once; at a character, whole lines with their LF.
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
// Two bytes each: in the one the last would be cut, in the other it ends where the limit is.
lin > \{600*ä}
lin2 < lin: \{600*ä}
nic, rel < lin: \{509*ä}
udp <= lin : \{508*ä}
lin > @cla:\{600*ä}
cla < \{511*ä}
// Four bytes each.
lin > @cla:\{300*😀}
cla < \{255*😀}
// What is made safe grows: it is cut afterwards.
lin > @cla:\{500*\x01}
cla < \{341*�}
