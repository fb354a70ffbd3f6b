// Every listener but unix has the register timeout; a UDP peer is registered or has no state.
with --register-timeout 5s
cla connects by classic
nic connects by nickname
rel connects by relay
op connects by unix
udp arrives by udp
time passes 4s
cla >> #cla
cla < Your user detail saved as : cla
time passes 1s
nic, rel < !register-timeout no name was given in time
nic, rel closed
time passes 5s
