alice arrives
bob arrives
alice < * bob joined
alice > \{4096*x}
alice < !line-too-long 4096
alice > \x00
alice < !bad-byte …
alice > /nosuch
alice < !unknown-command nosuch …
alice > /
alice < !unknown-command …
alice > /usr/bin/env
alice < !unknown-command usr/bin/env …
alice > /shutdown
alice < !denied …
alice > /announce x
alice < !denied …
alice > /kick bob
alice < !denied …
alice > /stats
alice < !denied …
alice > @bob
alice < !usage @name:text
alice > @:x
alice < !usage @name:text
alice > &
alice < !usage &room…
alice > &:x
alice < !usage &room…
alice > /say
alice < !usage /say text
alice > /msg
alice < !usage /msg nick text
alice > /msg bob
alice < !usage /msg nick text
alice > /join
alice < !usage /join room
alice > #alice
alice < !usage …
alice > @bob:
alice < !empty-text …
alice > /say\s
alice < !empty-text …
alice > &lobby:
alice < !empty-text …
alice > @a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p,q:x
alice < !too-many-targets …
alice > @a!:x
alice < !nick-invalid a! …
alice > /nick server
alice < !nick-reserved server …
alice > /nick bob
alice < !nick-taken bob …
alice > &a!
alice < !room-invalid a! …
alice > /who nowhere
alice < !no-such-room nowhere
bob > &dev
bob < +room dev 1
alice > &dev:x
alice < !not-in-room dev
alice > @nobody:x
alice < !no-such-user nobody
alice > @bob:still here
bob < @alice:still here
