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
// Once registered, a pasted comment renames nobody and a mistyped password is not said aloud.
bob arrives
alice < * bob joined
alice > #bob:secret
alice < !usage you have a name; /nick …
alice > #
alice < !usage …
alice > # include <stdio.h>
alice < !usage …
