alice connects
alice > hello?
alice < !register-first …
alice > #alice:secret
alice < !no-accounts …
alice > #\s
alice < !usage #name
alice > # Alice\t
alice < +nick Alice
alice < +room lobby 1
// After registering, a pasted comment is no rename, and a mistyped password is not sent as text.
bob arrives
alice < * bob joined
alice > #bob:secret
alice < !usage you have a name; /nick …
alice > #
alice < !usage …
alice > # include <stdio.h>
alice < !usage …
