with --max-line 128 --max-rooms 3
// line-too-long before bad-byte; bad-byte before register-first; register-first before errors of form.
eve connects
eve > \x00\{200*x}
eve < !line-too-long 128
eve > \x00hi
eve < !bad-byte …
eve > \x00/nosuch
eve < !bad-byte …
eve > /nosuch
eve < !register-first …
eve > /stats
eve < !register-first …
eve > /msg
eve < !register-first …
eve > @x:
eve < !register-first …
eve > #\x00
eve < !bad-byte …
// Of a name: invalid, reserved, taken, then no-accounts for its password.
alice arrives
eve > #:x
eve < !usage #name
eve > #e!:secret
eve < !nick-invalid e! …
eve > #root:secret
eve < !nick-reserved root …
eve > #alice:secret
eve < !nick-taken alice …
eve > #eve:secret
eve < !no-accounts …
// bad-byte before unknown-command; denied before usage.
alice > /nosuch\x00
alice < !bad-byte …
alice > /announce
alice < !denied …
alice > /kick
alice < !denied …
alice > #\x00
alice < !bad-byte …
// usage before empty-text; empty-text before the number and the names of recipients and of rooms.
alice > @:
alice < !usage @name:text
alice > &:
alice < !usage &room…
alice > @a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p,q:
alice < !empty-text …
alice > @a!:
alice < !empty-text …
alice > &a!:
alice < !empty-text …
alice > &nowhere:
alice < !empty-text …
// too-many-targets before nick-invalid and no-such-user.
alice > @a!,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p,q:x
alice < !too-many-targets …
// nick-invalid before no-such-user.
alice > @a!:x
alice < !nick-invalid a! …
// room-invalid before no-such-room, and before too-many-rooms.
alice > &a!:x
alice < !room-invalid a! …
alice > &one
alice < +room one 1
bob arrives
alice < * bob joined
bob > &two
bob < +room two 1
alice > &a!
alice < !room-invalid a! …
alice > &three
alice < !too-many-rooms …
// no-such-room before not-in-room.
alice > &three:x
alice < !no-such-room three
alice > &two:x
alice < !not-in-room two
alice > /leave three
alice < !no-such-room three
alice > /leave two
alice < !not-in-room two
// empty-text before not-in-room.
alice > &two:
alice < !empty-text …
alice > /leave one
alice < +left one
alice > /leave
alice < +left lobby
bob < * alice left &lobby
alice > /say\s
alice < !empty-text …
alice > /say
alice < !usage /say text
alice > x
alice < !not-in-room …
