// The nickname dialect announces joins in a lobby of any size, leaving in small ones only.
with --quiet-above 2
lin arrives
nic arrives by nickname
lin < * nic joined
rel connects by relay
rel >> rel: hi
lin, nic, rel < rel: hi
nick arrives by nickname
nic < nick joined!
lin2 arrives
nick ends
nick closed
lin > hello
nic, rel, lin2 < lin: hello
