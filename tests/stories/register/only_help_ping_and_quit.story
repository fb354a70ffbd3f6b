alice connects
alice > /help
alice <* +help\s
alice < +end help
alice > /ping
alice < +pong
alice > /ping  a b\s
alice < +pong  a b\s
alice > /PING x
alice < +pong x
alice >
alice > \r
alice > hi
alice < !register-first …
alice > @alice:hi
alice < !register-first …
alice > &dev
alice < !register-first …
alice > /who *
alice < !register-first …
alice > /rooms
alice < !register-first …
alice > /nick alice
alice < !register-first …
alice > /nosuch
alice < !register-first …
alice > /announce hi
alice < !register-first …
alice > @
alice < !register-first …
alice >  #alice
alice < !register-first …
alice > /quit
alice < +bye
alice closed
