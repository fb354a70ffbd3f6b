// The unix listener has no register timeout and no connection limit.
with --max-connections 1 --register-timeout 5s
bob arrives
op connects by unix
time passes 3600s
alice knocks
alice < !server-full try again later
alice closed
op2 connects by unix
op2 > /who *
op2 < +who * bob
op2 < +end who * 1
op > /ping 1
op < +pong 1
