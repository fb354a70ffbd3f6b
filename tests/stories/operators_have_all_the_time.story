// No register timeout at their door, and no limit of connections.
with --max-connections 1 --register-timeout 5s
op connects by unix
time passes 3600s
alice knocks
alice < !server-full try again later
alice closed
op2 connects by unix
op2 > /ping 1
op2 < +pong 1
op > /who *
op < +end who * 0
