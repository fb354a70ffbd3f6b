op connects by unix
alice arrives
ming arrives by udp
cla arrives by classic
nic arrives by nickname
alice < * ming joined
alice < * nic joined
ming <= Welcome nic to the chat room
op > /kick Alice
op < +kicked alice
alice < !kicked
alice closed
ming <= alice exited the chat room
nic < alice left!
op > /kick ming
op < +kicked ming
ming <= !kicked
nic < ming left!
op > /kick cla that will do
op < +kicked cla
cla < !kicked that will do
cla closed
op > /kick nic
op < +kicked nic
nic < !kicked
nic closed
time passes 59s
// The name is refused in every dialect and spelling; the peer may register another one.
a connects
a > #ALICE
a < !kicked ALICE
a > #anna
a < +nick anna
a < +room lobby 1
a > /nick alice
a < !kicked alice
c connects by classic
c >> #Cla
c < !kicked Cla
n connects by nickname
n >> nic
n < !kicked nic
n closed
ming >> L ming
ming <= !kicked ming
time passes 1s
a > /nick alice
a < +nick alice
c >> #Cla
c < Your user detail saved as : Cla
n2 arrives by nickname
a < * n2 joined
ming >> L ming
ming <= OK
a < * ming joined
n2 < ming joined!
