alice arrives
bob connects
bob > /ping \x1b[31m\xff\u{202E}x
bob < +pong \u{FFFD}[31m\u{FFFD}\u{FFFD}x
bob > #\x1bx
bob < !nick-invalid \u{FFFD}x …
bob > #bob
bob < +nick bob
bob < +room lobby 2
alice < * bob joined
bob > /wh\x08o
bob < !unknown-command wh\u{FFFD}o …
bob > @al\u{202E}ice,\xff:x
bob < !nick-invalid al\u{FFFD}ice …
bob < !nick-invalid \u{FFFD} …
bob > &de\rv
bob < !room-invalid de\u{FFFD}v …
bob > /who \u{2028}
bob < !room-invalid \u{FFFD} …
bob > /nick b\tb
bob < !nick-invalid b\tb …
bob > /quit \x1b]0;x\x07)\r* root joined
bob < +bye
bob closed
alice < * bob left (\u{FFFD}]0;x\u{FFFD})\u{FFFD}* root joined)
