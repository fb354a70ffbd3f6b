needs unicode
op connects by unix
paypa arrives
op > /kick paypa
op < +kicked paypa
paypa < !kicked
paypa closed
a connects
a > #раура
a < !kicked раура
a > #paypal
a < +nick paypal
a < +room lobby 1
time passes 60s
a > /nick раура
a < +nick раура
